"""What the listener knows of the arbiters and workers that have spoken to it.

Kept whether or not a rollout runs, since a rollout begins with it. It is part of what is
saved in supervisord's mailbox: a listener that was restarted knows what was acknowledged.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from supervisor_roll.listener.process_table import ProcessTable
from supervisor_roll.listener.supervisord import ProcessInfo, Supervisord, Unreachable
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.shapes import built, fitting
from supervisor_roll.wire.datagram import (
    ABORTING,
    FAILED,
    LOADED,
    READY,
    RESISTING,
    UNREADY,
    Message,
)
from supervisor_roll.wire.places import PLACES
from supervisor_roll.wire.program import Program, decode_program
from supervisor_roll.wire.succession import SUCCESSOR_SUFFIX, program_of

log = logging.getLogger("supervisor_roll")

# After so long without a word of it, as many workers are wanted as the process table shows.
SHOWN_SECS = 5.0
# What a program leaves behind may write too: it must not keep supervisord busy.
REFETCH_SECS = 1.0
# Of each worker it is saved each time, and a line as a rule.
MAX_TEXT = 300
# No kernel lets a process have more children.
MAX_WORKERS = 2**22


@dataclass
class Worker:
    """One worker, as its own messages describe it."""

    id: InstanceId
    age: int
    loaded: bool = False
    ready: bool = False
    sick: bool = False  # it serves, or would, but its health check fails
    boot_secs: float = 0.0
    health: str = ""
    release: str = ""
    held: bool = False  # it is kept from serving, since a rollout began with it
    heard: bool = True  # False: only the process table shows it
    leaving: str = ""  # why it is about to leave, as far as it said
    uid: int = -1  # whom it said that as; -1: not known

    @property
    def serves_sick(self) -> bool:
        """It fails its health check, and serves all the same: no rollout keeps it from that."""
        return self.sick and self.loaded and bool(self.health) and not (self.held or self.leaving)


@dataclass
class Arbiter:
    """One arbiter and its workers. ``facts`` are the fields of its workers' messages."""

    id: InstanceId
    namespec: str
    count: int = 0
    changes: int = -1
    facts: dict[str, str] = field(default_factory=dict)
    successor: bool = False  # it runs beside the one that has the program's name
    stopping: bool = False  # it has stopped serving, and is about to end
    sockets: list[tuple[str, int]] = field(default_factory=list)  # address, its descriptor
    trouble: str = ""  # why boots have failed since a worker was last ready
    workers: dict[InstanceId, Worker] = field(default_factory=dict)

    def heard_count(self, message: Message, own: bool = False) -> bool:
        """Take note of the wanted count, if it is news. Whether it was.

        ``own``: the arbiter itself says so, and what it says comes in order.
        """
        changes = int(message.number("CHANGES", -1))
        if "WORKERS" not in message.fields:
            return False
        count = int(message.number("WORKERS"))
        if (changes, count) == (self.changes, self.count) or (changes < self.changes and not own):
            return False
        if not 0 <= count <= MAX_WORKERS:
            raise BadMessage(f"{message.kind}: WORKERS={count}: not from 0 to {MAX_WORKERS}")
        self.changes, self.count = changes, count
        return True

    def heard_worker(self, worker: InstanceId, message: Message) -> Worker:
        """Take note of what a worker says of itself. Raises BadMessage."""
        age = int(message.number("AGE"))
        boot_secs = message.number("BOOT_SECS", 0.0)
        known = self.workers.setdefault(worker, Worker(worker, age))
        known.age, known.heard = age, True
        known.loaded = known.loaded or message.kind in (LOADED, READY, UNREADY)
        if message.kind == READY:
            known.ready, known.boot_secs = True, max(0.0, boot_secs)
            known.health = message.fields.get("STATUS", "")[:MAX_TEXT]
        elif message.kind == UNREADY:
            known.ready = False
            known.health = message.fields.get("STATUS", "")[:MAX_TEXT]
        elif message.kind == ABORTING:
            known.leaving = (
                "it was sent ABRT, as Gunicorn does when a worker shows no sign of "
                "life for timeout seconds; a sync worker's log shows where it hung"
            )
        # One that waits after failed boots, or is about to leave after its own, decides nothing.
        if message.kind in (UNREADY, FAILED, RESISTING, READY):
            known.sick = message.kind != READY
        if message.kind == READY:
            self.trouble = ""
        self.facts = {key: value for key, value in message.fields.items() if key in _FACTS}
        return known

    def outdated(self, now: float, age_secs: Callable[[InstanceId], float]) -> list[Instance]:
        """The workers known now, as the snapshot that a rollout begins with."""
        return [
            Instance(
                one.id,
                one.age,
                fresh=False,
                since=now - age_secs(one.id),
                loaded=one.loaded,
                ready_since=now if one.ready else None,
                boot_secs=one.boot_secs,
                health=one.health,
            )
            for one in self.workers.values()
            if one.heard
        ]

    @property
    def heard(self) -> int:
        """How many of its workers have said something."""
        return sum(one.heard for one in self.workers.values())

    @property
    def ready(self) -> int:
        return sum(one.ready for one in self.workers.values())

    @property
    def undecided(self) -> list[InstanceId]:
        """The workers that have said neither ready nor unready, so far as heard."""
        return [one.id for one in self.workers.values() if not (one.ready or one.sick)]

    @property
    def gunicorn(self) -> tuple[int, ...]:
        """The version as numbers, as far as it is made of numbers; empty if unknown."""
        parts = []
        for part in self.facts.get("GUNICORN", "").split("."):
            if not (part.isascii() and part.isdecimal() and len(part) < 10):
                break
            parts.append(int(part))
        return tuple(parts)

    def frozen(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "workers": [dataclasses.asdict(one) for one in self.workers.values()],
        }

    @classmethod
    def thawed(cls, frozen: dict[str, Any]) -> Arbiter:
        """Raises BadMessage."""
        workers = fitting(list[Worker], frozen.get("workers"), "workers")
        return built(cls, frozen, workers={one.id: one for one in workers})


_FACTS = frozenset(
    {
        "GUNICORN",
        "CLASS",
        "PRELOAD",
        "REUSE_PORT",
        "RELOAD",
        "TIMEOUT",
        "GRACEFUL_TIMEOUT",
        "MISSING",
        "UNCHECKED",
        "STALE",
        "PYTHONPATH",
        "LISTENS",
        "BINDS",
        "CONF",
        "CONF_DIGEST",
        "CONFIGURED",
        PLACES,
    }
)


class Knowledge:
    """All arbiters that have spoken, each of them a process that supervisord runs."""

    def __init__(
        self,
        supervisord: Supervisord,
        table: ProcessTable,
        clock: Callable[[], float],
        barrier: Callable[[int], str] = lambda pid: "",
    ) -> None:
        """``barrier`` says why a process cannot write to us, if there is a reason."""
        self.supervisord, self.table, self._clock = supervisord, table, clock
        self._barrier = barrier
        self._unsupervised: set[InstanceId] = set()  # as of the last fetch
        self._supervisord_pid = os.getppid()
        self._fetched_at = -REFETCH_SECS
        self.arbiters: dict[InstanceId, Arbiter] = {}
        self._infos: list[ProcessInfo] | None = None
        self._few_since: dict[InstanceId, float] = {}

    def stale(self) -> None:
        """supervisord's processes have changed."""
        self._infos = None

    def processes(self) -> list[ProcessInfo]:
        """supervisord's processes, as of their last change. Raises Unreachable."""
        if self._infos is None:
            self._infos = self.supervisord.processes()
            self._fetched_at = self._clock()
        return self._infos

    def info(self, namespec: str) -> ProcessInfo | None:
        """What supervisord says of a process; None if it has none of this name, or says nothing."""
        return next((one for one in self._fetch() if one.namespec == namespec), None)

    def program(self, namespec: str, changed: bool = False) -> Program | None:
        """What supervisord would spawn (``changed``: by what it last reread); None if unknown."""
        try:
            return decode_program(self.supervisord.program(namespec, changed))
        except (Unreachable, BadMessage) as error:
            log.info("%s: %s", namespec, error)
            return None

    def log_of(self, namespec: str) -> str:
        """Where what a program writes to its standard error is to be read."""
        info = self.info(namespec)
        if info is None or not info.log:
            return "its log"
        stream = " stderr" if info.log == "stderr" else ""
        return f"its log (supervisorctl tail {namespec}{stream})"

    def arbiter(self, instance: InstanceId) -> Arbiter | None:
        """The arbiter with this identity, new or known; None if supervisord does not run it."""
        if instance.pid == os.getpid():
            return None  # what runs beside our rollouts is no worker of ours
        if instance not in self.arbiters:
            found = [one for one in self._fetch() if one.pid == instance.pid]
            late = self._clock() >= self._fetched_at + REFETCH_SECS
            new = instance not in self._unsupervised
            if not found and (late or (new and self._is_supervised(instance))):
                self.stale()  # it may have been started since
                found = [one for one in self._fetch() if one.pid == instance.pid]
                if late:
                    self._unsupervised.clear()
                self._unsupervised.add(instance)
            if not found or not self.table.watch(instance):
                return None
            name = found[0].namespec
            self.arbiters[instance] = Arbiter(
                instance, program_of(name), successor=name.endswith(SUCCESSOR_SUFFIX)
            )
        return self.arbiters[instance]

    def _is_supervised(self, instance: InstanceId) -> bool:
        """Whether supervisord has forked it: its word may reach us before supervisord's event."""
        child = self.table.child(instance.pid)
        return child is not None and child.parent.pid == self._supervisord_pid

    def running(self, instance: InstanceId | None) -> Arbiter | None:
        """The arbiter that a run is about, if it still runs."""
        return self.arbiters.get(instance) if instance else None

    def exited(self, instance: InstanceId) -> tuple[Arbiter | None, bool, str]:
        """A process has ended: the arbiter it was (True) or was a worker of (False), and why."""
        self.table.unwatch(instance)
        arbiter = self.arbiters.pop(instance, None)
        if arbiter is not None:
            for worker in arbiter.workers:
                self.table.unwatch(worker)
            return arbiter, True, ""
        for arbiter in self.arbiters.values():
            gone = arbiter.workers.pop(instance, None)
            if gone is not None:
                return arbiter, False, gone.leaving
        return None, False, ""

    def corrected(self, arbiter: Arbiter, now: float) -> bool:
        """Whether it has had fewer workers for so long that it cannot want as many as was told.

        Its count is then what the process table shows. To be asked as long as they are too few.
        """
        shown = self.children(arbiter)
        if set(shown) != set(arbiter.workers) or not 0 < arbiter.heard == len(shown):
            self._few_since.pop(arbiter.id, None)
            return False
        if now < self._few_since.setdefault(arbiter.id, now) + SHOWN_SECS:
            return False
        del self._few_since[arbiter.id]
        arbiter.count = len(shown)
        return True

    def confirms(self, arbiter: Arbiter, count: int, leaving: int) -> bool:
        """Whether the process table bears out what a worker says that its arbiter wants."""
        shown = len(self.children(arbiter))
        return shown - leaving <= count <= shown

    def shown(self, arbiter: Arbiter) -> list[InstanceId]:
        """Its workers by the process table, all of them watched from now on."""
        workers = self.children(arbiter)
        for worker in workers:
            if worker not in arbiter.workers and self.table.watch(worker):
                arbiter.workers[worker] = Worker(worker, 0, heard=False)
        return workers

    def children(self, arbiter: Arbiter) -> list[InstanceId]:
        """The arbiter's children, as far as they are workers."""
        return [
            child
            for child in self.table.children(arbiter.id)
            if child in arbiter.workers or self._may_be_worker(arbiter, child)
        ]

    def _may_be_worker(self, arbiter: Arbiter, child: InstanceId) -> bool:
        """Whether a child that has said nothing is a worker, as far as the kernel shows it.

        An arbiter may have helpers of its configuration's, and since Gunicorn 25 one of its own.
        """
        marked = self.table.is_marked(child.pid)
        if marked is not None:
            return marked
        first = min((one.started for one in arbiter.workers), default=arbiter.id.started)
        own = self.table.executed(arbiter.id.pid)
        return child.started >= first and self.table.executed(child.pid).may_be_worker_of(own)

    def is_worker(self, instance: InstanceId) -> bool:
        """Whether it is a worker beyond doubt: it has said so, or the kernel shows it."""
        known = [one.workers.get(instance) for one in self.arbiters.values()]
        if any(one is not None and one.heard for one in known):
            return True
        return self.table.is_marked(instance.pid) is True

    def barrier(self, instance: InstanceId) -> str:
        """Why an arbiter, or one of its workers, cannot write to us; empty: nothing seems to."""
        pids = [instance.pid, *(one.pid for one in self.table.children(instance))]
        return next(filter(None, map(self._barrier, pids)), "")

    def siblings(self, namespec: str) -> list[Arbiter]:
        """The arbiters that run for a program: more than one while it is being succeeded."""
        return [one for one in self.arbiters.values() if one.namespec == namespec]

    @property
    def is_stale(self) -> bool:
        """supervisord's processes have changed since they were last fetched."""
        return self._infos is None

    def _fetch(self) -> list[ProcessInfo]:
        try:
            return self.processes()
        except Unreachable as error:
            log.warning("%s", error)
            return []
