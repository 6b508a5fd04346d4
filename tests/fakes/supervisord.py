"""A fake supervisord: the mailbox is the real one; its processes are fake Gunicorns.

A program's successor is under ``g:n.successor`` until it is promoted, as in supervisor_roll.rpc;
the one that it replaces is then ``g:n.retiring``, and is stopped. See fakes/site.py.
"""

from __future__ import annotations

import xmlrpc.client
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.edges.supervisord import Refused, Unreachable
from supervisor_roll.rpc.mailbox import Mailbox
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.program import ProcessInfo
from supervisor_roll.wire.program import Program as Spawned
from supervisor_roll.wire.successor import (
    RETIRING_SUFFIX,
    SUCCESSOR_SUFFIX,
    Reread,
    Succession,
    successor_of,
)
from tests.fakes.program import Program

if TYPE_CHECKING:
    from tests.fakes.site import Site

EPOCH = 1_800_000_000.0


@dataclass
class Entry:
    """What there is beside a program's own process, and what came of its last successor."""

    successor: Program | None = None
    promoted: bool = False
    retiring: Program | None = None
    ended: str = ""
    tail: str = ""


class FakeSupervisord:
    """``faults`` are what methods are answered instead: a code of Faults, and a text.

    To those that it is ``deaf_to`` it does not answer; where it ``loses_answers`` it has done what
    it was told in an exchange.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.mailbox = Mailbox()
        self.infos: list[ProcessInfo] = []
        self.unreachable = self.refuses_signals = self.loses_answers = False
        self.faults: dict[str, tuple[int, str]] = {}
        self.deaf_to: set[str] = set()
        self.received: list[wire.Exchange] = []
        self.found = Reread()  # what has changed in its configuration
        self.rereads = self.specs = 0  # how often it was asked for them
        self.spawns: Spawned | None = None
        self._entries: dict[str, Entry] = {}

    # --- what the listener calls --------------------------------------------------------------

    def exchange(self, text: str) -> str:
        self._check("exchange")
        said = from_json(wire.Exchange, text, wire.MAX_EXCHANGE_BYTES)
        deliveries: list[wire.Delivery] = []

        def put() -> None:
            self.received.append(said)
            now = self._site.now
            deliveries.append(self.mailbox.exchange(said, now, EPOCH + now, self._send))

        self._site.point("exchange", put)
        if self.loses_answers:
            raise Unreachable("supervisord has answered, and nobody has heard it")
        return wire.exchanged(deliveries[0])

    def _send(self, namespec: str, name: str) -> str:
        if self.refuses_signals or namespec not in self._site.programs:
            return f"supervisord refused {name}"
        self._site.point(f"{name} {namespec}", lambda: self._site.programs[namespec].signal(name))
        return ""

    def reports(self, job: str, since: int) -> wire.Reports:
        self._check("reports")
        found = self.mailbox.reports(job, since, self._site.now)
        assert found is not None
        return from_json(wire.Reports, wire.reports_text(*found, "RUNNING"))

    def processes(self) -> list[ProcessInfo]:
        self._check("processes")
        return list(self.infos)

    def program(self, namespec: str, changed: bool = False) -> Spawned:
        self.specs += 1
        if self.spawns is None:
            raise Unreachable("this fake does not know what it would spawn")
        return self.spawns

    def reread(self) -> Reread:
        self._check("reread")
        self.rereads += 1
        return self.found

    def succeed(self, namespec: str) -> Succession:
        self._check("succeed")
        self._site.point(f"succeed {namespec}", lambda: self._succeed(namespec))
        return self._shown(namespec)

    def promote(self, namespec: str, drain_secs: float) -> Succession:
        assert drain_secs > 0
        self._check("promote")
        entry = self._entries.get(namespec, Entry())
        if entry.successor is None and not entry.promoted:
            raise self._refusal(
                "promote",
                Faults.FAILED,
                (f"{namespec}: its successor {entry.ended or 'does not run'}"),
            )
        self._site.point(f"promote {namespec}", lambda: self._promote(namespec, entry))
        return self._shown(namespec)

    def discard(self, namespec: str) -> Succession:
        self._check("discard")
        successor = self._entries.get(namespec, Entry()).successor
        self._site.point(f"discard {namespec}", lambda: successor and successor.stop())
        return self._shown(namespec)

    def succession(self, namespec: str) -> Succession:
        self._check("succession")
        return self._shown(namespec)

    def start_preflight(self, namespec: str, within_secs: float, changed: bool) -> None:
        raise Unreachable("this fake starts no preflights")

    def adopt(self, namespec: str) -> None:
        self._check("adopt")
        self._site.point(f"adopt {namespec}", lambda: self._forget_change(namespec))

    def resize(self, group: str) -> None:
        self._check("resize")
        self._site.point(f"resize {group}")

    def add(self, group: str) -> None:
        self._check("add")
        self._site.point(f"add {group}")

    def stop_group(self, group: str) -> None:
        self._check("stop_group")
        self._site.point(f"stop {group}", lambda: self._site.programs[group].stop())

    def remove(self, group: str) -> None:
        self._check("remove")
        if self.state(group) != "STOPPED":
            raise self._refusal("remove", Faults.STILL_RUNNING, group)
        self._site.point(f"remove {group}", lambda: self.drop(group))

    # --- its processes -------------------------------------------------------------------------

    def state(self, namespec: str) -> str:
        return next((one.state for one in self.infos if one.namespec == namespec), "")

    def put(self, namespec: str, pid: int, state: str) -> None:
        """A process is in another state, or new; supervisord says so to its listeners."""
        self.drop(namespec)
        self.infos.append(ProcessInfo(namespec, pid, state))

    def drop(self, namespec: str) -> None:
        self.infos = [one for one in self.infos if one.namespec != namespec]
        self._site.inbox.append(lambda: self._site.coordinator.processes_changed())

    def ended(self, program: Program, how: str) -> None:
        """A child of supervisord has ended."""
        key = next(key for key, one in self._site.programs.items() if one is program)
        for entry in self._entries.values():
            if entry.successor is program:
                entry.ended, entry.tail = f"(pid {program.id.pid}) ended: {how}", program.output
                entry.successor = None
            if entry.retiring is program:
                entry.retiring = None
        if key.endswith((SUCCESSOR_SUFFIX, RETIRING_SUFFIX)):
            del self._site.programs[key]
            self.drop(key)
        else:
            self.put(key, 0, "STOPPED" if program.stopping else "EXITED")

    def _succeed(self, namespec: str) -> None:
        entry = self._entries.get(namespec, Entry())
        if entry.successor is None:
            workers = self._site.programs[namespec].configured
            successor = self._site.start_beside(namespec)
            self._entries[namespec] = Entry(successor, ended=entry.ended, tail=entry.tail)
            self._site.successor(successor)
            successor.begin(self._site.configured.get(namespec, workers))

    def _promote(self, namespec: str, entry: Entry) -> None:
        if entry.successor is None:
            return  # it was promoted before
        programs, retiring = (
            self._site.programs,
            successor_of(namespec).replace(SUCCESSOR_SUFFIX, RETIRING_SUFFIX),
        )
        old, runs = programs[namespec], self.state(namespec) in ("RUNNING", "STOPPING")
        del programs[successor_of(namespec)]
        self.drop(successor_of(namespec))
        programs[namespec], entry.successor, entry.promoted = entry.successor, None, True
        self.put(namespec, programs[namespec].id.pid, "RUNNING")
        self._forget_change(namespec)
        if runs:
            entry.retiring = programs[retiring] = old
            self.put(retiring, old.id.pid, "RUNNING")
            old.stop()

    def _shown(self, namespec: str) -> Succession:
        entry = self._entries.get(namespec, Entry())
        info = next((one for one in self.infos if one.namespec == namespec), None)
        if info is None:
            raise self._refusal("succession", Faults.BAD_NAME, namespec)
        return Succession(
            info.pid,
            info.state,
            entry.successor.id.pid if entry.successor else 0,
            self.state(successor_of(namespec)),
            entry.retiring.id.pid if entry.retiring else 0,
            entry.ended,
            entry.tail,
        )

    def _forget_change(self, namespec: str) -> None:
        self.found = Reread(
            [one for one in self.found.changes if one.namespec != namespec],
            self.found.resized,
            self.found.added,
            self.found.removed,
        )

    def _check(self, method: str) -> None:
        if self.unreachable or method in self.deaf_to:
            raise Unreachable("supervisord does not answer")
        if method in self.faults:
            raise self._refusal(method, *self.faults[method])

    def _refusal(self, method: str, code: int, text: str) -> Refused:
        name = next(name for name, value in vars(Faults).items() if value == code)
        return Refused(
            f"roll.{method}", xmlrpc.client.Fault(code, f"{name}: {text}" if text else name)
        )
