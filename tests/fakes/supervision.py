"""Configuration files, and supervisor's own reading of them, without a supervisord that runs.

What differs from what runs is found by what supervisord itself does; only what it would run
is fake. Time passes when a test says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

from supervisor.loggers import getLogger
from supervisor.options import ServerOptions, make_namespec
from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.listener.configuration.watched import WatchedConfiguration
from supervisor_roll.listener.edges.supervisord import Refused, SupervisordError, Unreachable
from supervisor_roll.listener.reconcile.operations import ADOPT, ROLL, Operation
from supervisor_roll.listener.reconcile.reconciler import Reconciler
from supervisor_roll.rpc import config_changes
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.successor import Reread

AUTO = {"auto": "true"}
SETTLE_SECS = 2.0
STEP_SECS = 0.5
RED, GREEN = 'COLOUR="red"', 'COLOUR="green"'
CHANGED = "its configuration has changed: environment"
BROKEN = "numprocs=none\n"  # for us as for supervisord
REFUSED = "startsecs=soon\n"  # for supervisord alone


class Supervision:
    """A folder with a configuration, what runs of it, and an ``Reconciler`` that looks at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = self.write(
            "supervisord.conf", "[supervisord]\n[include]\nfiles=conf.d/*.conf\n"
        )
        (folder / "conf.d").mkdir()
        self.options = ServerOptions()
        self.options.configfile = str(self.path)
        self.options.logger = getLogger()
        self.groups: dict[str, Any] = {}
        self.states: dict[str, str] = {}
        self.rolled: set[str] = set()  # what is being rolled
        self.reachable = True
        self.rereads = self.ticked = 0  # in all, and before anything was begun
        self.now = 1000.0
        self.said: list[str] = []
        self.configuration = WatchedConfiguration(str(self.path), lambda: self.now)
        self.reconciler = self._started()

    # --- files

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def program(self, name: str, roll: dict[str, str] | None = AUTO, **options: str) -> None:
        """Write a program's file. ``roll`` None: it has no such section."""
        self.write(f"conf.d/{name}.conf", section(name, roll, **options))

    # --- supervisord

    def start(self) -> None:
        """All that is configured runs, as configured now."""
        self.groups = {name: config.make_group() for name, config in self._configured().items()}
        self.states = dict.fromkeys(self.namespecs(), "RUNNING")

    def namespecs(self) -> list[str]:
        return [
            make_namespec(group, name)
            for group, one in self.groups.items()
            for name in one.processes
        ]

    def reread(self) -> Reread:
        if not self.reachable:
            raise Unreachable("roll.reread: timed out")
        self.rereads += 1
        try:
            new = self._configured()
        except ValueError as error:
            fault = RPCError(Faults.CANT_REREAD, str(error))
            raise Refused("roll.reread", Fault(fault.code, fault.text)) from None
        return config_changes.reread(self.groups, new)

    def apply(self, group: str) -> None:
        """The group runs as it is configured now."""
        self.groups[group] = self._configured()[group].make_group()
        for namespec in self.namespecs():
            self.states.setdefault(namespec, "RUNNING")

    def _configured(self) -> dict[str, Any]:
        self.options.process_config(do_usage=False)
        return {config.name: config for config in self.options.process_group_configs}

    # --- the listener

    def _started(self) -> Reconciler:
        return Reconciler(
            self.configuration,
            self.reread,
            lambda namespec: self.states.get(namespec, ""),
            self.rolled.__contains__,
        )

    def restart(self) -> None:
        """Another listener takes up what this one has saved."""
        saved = to_json(self.reconciler.saved())
        self.reconciler = self._started()
        self.reconciler.restore(json.loads(saved))

    def passes(self, secs: float, begin: bool = True) -> list[Operation]:
        """Let time pass until something is due, for no longer than that; begin to roll it."""
        turns: list[Operation] = []
        end = self.now + secs
        while not turns and self.now < end:
            self.now += STEP_SECS
            turns = self.reconciler.tick(self.now)
            self.said += self.reconciler.problems
            self.reconciler.problems.clear()
        self.ticked = self.rereads
        for turn in turns if begin else ():
            for namespec in turn.names if turn.kind == ROLL else ():
                self.begin(namespec)
        return turns

    def settles(self) -> list[Operation]:
        """What is due once everything has been still for long enough."""
        return self.passes(SETTLE_SECS + 5)

    def begin(self, namespec: str) -> None:
        """A rollout of the process begins, whoever asked for it."""
        self.rolled.add(namespec)
        try:
            changes = self.reread().changes
        except SupervisordError:
            changes = []
        digest = next((one.digest for one in changes if one.namespec == namespec), "")
        self.reconciler.began(namespec, digest)

    def end(self, *namespecs: str, ok: bool = True) -> None:
        """Their rollouts have ended; those that are complete have applied the changes."""
        for group in {namespec.partition(":")[0] for namespec in namespecs} if ok else ():
            self.apply(group)
        for namespec in namespecs:
            self.rolled.discard(namespec)
            self.reconciler.ended(namespec, ok)

    def ended(self, turns: list[Operation], ok: bool = True) -> None:
        self.end(
            *(name for turn in turns if turn.kind in (ROLL, ADOPT) for name in turn.names), ok=ok
        )


def section(
    name: str, roll: dict[str, str] | None = AUTO, kind: str = "program", **options: str
) -> str:
    options = {"command": "/bin/cat", **options}
    text = f"[{kind}:{name}]\n" + "".join(f"{key}={one}\n" for key, one in options.items())
    if roll is not None:
        text += f"[roll:{name}]\n" + "".join(f"{key}={one}\n" for key, one in roll.items())
    return text


def said(turns: list[Operation]) -> list[tuple[str, ...]]:
    """The turns, short: kind and names."""
    return [(turn.kind, *turn.names) for turn in turns]


def started(site: Supervision) -> Supervision:
    """What runs is what is configured, and a listener has seen so."""
    site.start()
    assert site.settles() == []
    site.rereads = 0
    return site


def many(
    site: Supervision,
    numprocs: int,
    roll: dict[str, str] | None = AUTO,
    process_name: str = "%(process_num)s",
    **options: str,
) -> None:
    site.program("many", roll, numprocs=str(numprocs), process_name=process_name, **options)
