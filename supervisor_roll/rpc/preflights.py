"""The programs' preflights: each a successor that ends before it serves.

One of a program at a time. It leaves the group by itself when it has ended, and takes with it
what it has started; and it ends in time, whether a listener is there or not.
"""

from __future__ import annotations

import math
import os
import re
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.rpc import program_names, supervisor_internals
from supervisor_roll.rpc.per_program import PerProgram
from supervisor_roll.rpc.successors import (
    GUNICORN_VARIABLE,
    check_free,
    check_secs,
    check_serving,
    failed,
    found_program,
)
from supervisor_roll.rpc.supervisor_types import Group, Process, ProcessConfig, Supervisor
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.successor import (
    PREFLIGHT_SOCKET,
    PREFLIGHT_SUFFIX,
    PREFLIGHT_VARIABLE,
    SUCCESSOR_VARIABLE,
    Preflight,
)

# So long after its time it ends even if nobody sees to that.
MARGIN_SECS = 10
# Through these the environment does not reach, or not as a rule.
_OPAQUE = frozenset({"sudo", "doas", "su", "runuser", "docker", "podman", "ssh", "systemd-run"})


@dataclass
class _Last:
    """A program's last preflight; ``process`` is None once it has ended."""

    group: Group
    process: Process | None = None
    pid: int = 0
    exit_code: int = 0
    tail: str = ""


class Preflights:
    """Lives on the Supervisor object, as the successors do. All methods raise RPCError."""

    def __init__(self) -> None:
        self._last = PerProgram(_Last)

    def start(
        self, supervisord: Supervisor, namespec: str, within_secs: float, changed: bool
    ) -> Preflight:
        """Start one beside a RUNNING process, from its configuration, or from what was last read.

        One that still runs is of an earlier question: it is stopped (ALREADY_STARTED).
        """
        check_secs("within_secs", within_secs)
        namespec, group, name, serving = found_program(supervisord, namespec)
        if self._last.of(namespec, group).process is not None:
            self.stop(supervisord, namespec)
            raise RPCError(Faults.ALREADY_STARTED, f"{namespec}: its last one is being stopped")
        check_serving(supervisord, namespec, serving)
        check_free(group, name + PREFLIGHT_SUFFIX, namespec)
        config = serving.config
        if changed:
            config = supervisor_internals.new_config(supervisord, serving)
        if why := why_not(config.command, serving.config.command):
            raise failed(f"{namespec}: {why}")
        last = _Last(group)

        def ended(pid: int, status: int, tail: str) -> None:
            last.process, last.tail = None, tail
            code = os.waitstatus_to_exitcode(status)
            last.exit_code = code if code >= 0 else 128 - code
            # What it has started and left behind is in its group still; nobody else can be yet.
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

        try:
            last.process = supervisor_internals.spawn_beside(
                group,
                _thrown_away(config, name, serving),
                supervisor_internals.PREFLIGHT,
                name,
                serving,
                ended,
                lambda: _bound(within_secs),
            )
        except ChildProcessError as error:
            why = program_names.shown(f"{namespec}: {error}")
            raise RPCError(Faults.SPAWN_ERROR, why) from None
        last.pid = last.process.pid
        self._last.keep(supervisord, namespec, last)
        return self.shown(supervisord, namespec)

    def stop(self, supervisord: Supervisor, namespec: str) -> Preflight:
        """End it at once."""
        namespec, group, _, _ = found_program(supervisord, namespec)
        last = self._last.of(namespec, group)
        if last.process is not None:
            supervisor_internals.stop(last.process)
        return self.shown(supervisord, namespec)

    def shown(self, supervisord: Supervisor, namespec: str) -> Preflight:
        """Return what there is of it now."""
        namespec, group, _, _ = found_program(supervisord, namespec)
        last = self._last.of(namespec, group)
        return Preflight(last.pid, last.process is not None, last.exit_code, last.tail)


def why_not(command: str, serving: str) -> str:
    """Say why ``command`` may serve in place of loading the application; empty if it does not.

    ``serving`` is the command that runs now: with Gunicorn, since its workers have been heard.
    """
    words = re.findall(r"[^\s'\"();&|]+", command)
    names = [PurePath(word).name for word in words]
    opaque = sorted(_OPAQUE.intersection(names))
    if "env" in names and {"-", "-i", "--ignore-environment"}.intersection(words):
        opaque = ["env -i"]
    if opaque:
        return f"its command goes through {opaque[0]}, which may not pass the environment on"
    gunicorn = any(re.fullmatch(r"gunicorn([-.\d]*|\.app\.wsgiapp)", name) for name in names)
    if command != serving and not gunicorn:
        return "its command has changed, and does not show that it is Gunicorn's own"
    return ""


def _thrown_away(config: ProcessConfig, name: str, serving: Process) -> ProcessConfig:
    """Return the configuration of a preflight: as the program's, but that nothing stays of it."""
    pid = str(serving.pid)
    config = supervisor_internals.beside(
        config,
        name + PREFLIGHT_SUFFIX,
        {
            SUCCESSOR_VARIABLE: pid,
            GUNICORN_VARIABLE: pid,
            SOCKET_VARIABLE: PREFLIGHT_SOCKET,
            PREFLIGHT_VARIABLE: "1",
            "PYTHONFAULTHANDLER": "1",  # it writes at ABRT where it stands
        },
    )
    config.redirect_stderr = True
    for channel in ("stdout", "stderr"):
        setattr(config, f"{channel}_logfile", None)
        setattr(config, f"{channel}_syslog", False)
        setattr(config, f"{channel}_capture_maxbytes", 0)
        setattr(config, f"{channel}_events_enabled", False)
    # That it ends is no news for who watches supervisord's processes.
    config.startsecs, config.exitcodes = 0, [0]
    config.stopsignal, config.stopasgroup, config.killasgroup = signal.SIGKILL, True, True
    return config


def _bound(within_secs: float) -> None:
    """Let the child leave no core, and end at last even if nobody lives to see to that."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    signal.alarm(math.ceil(within_secs) + MARGIN_SECS)
