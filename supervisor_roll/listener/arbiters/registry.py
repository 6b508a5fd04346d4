"""What the listener knows of the arbiters and workers that have spoken to it.

Kept whether or not a rollout runs, since a rollout begins with it. It is part of what is
saved in supervisord's mailbox: a listener that was restarted knows what was acknowledged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.arbiters.arbiter import MAX_WORKERS, Arbiter, Worker
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.edges.supervisord import (
    Refused,
    Supervisord,
    SupervisordError,
)
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.program import ProcessInfo, Program
from supervisor_roll.wire.successor import PREFLIGHT_SUFFIX, SUCCESSOR_SUFFIX, program_of

log = logging.getLogger("supervisor_roll")

# After so long without a word of it, as many workers are wanted as the process table shows.
SHOWN_SECS = 5.0
# What a program leaves behind may write too: it must not keep supervisord busy.
REFETCH_SECS = 1.0


class ArbiterRegistry:
    """All arbiters that have spoken, each of them a process that supervisord runs."""

    def __init__(
        self,
        pid: int,
        supervisord: Supervisord,
        table: ProcessTable,
        clock: Callable[[], float],
        barrier: Callable[[int], str] = lambda pid: "",
    ) -> None:
        """``pid`` is this listener's; ``barrier`` says why a process cannot write to us, if so."""
        self.supervisord, self.table, self._clock = supervisord, table, clock
        self._barrier = barrier
        self._unsupervised: set[InstanceId] = set()  # as of the last fetch
        self._pid = pid
        self._fetched_at = -REFETCH_SECS
        self.arbiters: dict[InstanceId, Arbiter] = {}
        self._infos: list[ProcessInfo] | None = None
        self._programs: dict[tuple[str, bool], tuple[float, Program | None]] = {}
        self._few_since: dict[InstanceId, float] = {}

    def stale(self) -> None:
        """supervisord's processes have changed."""
        self._infos = None
        self._programs.clear()

    def processes(self) -> list[ProcessInfo]:
        """supervisord's processes, as of their last change. Raises SupervisordError."""
        if self._infos is None:
            self._infos = self.supervisord.processes()
            self._fetched_at = self._clock()
        return self._infos

    def states(self) -> dict[str, str]:
        """Return the states of supervisord's processes. Raises SupervisordError."""
        try:
            return {one.namespec: one.state for one in self.processes()}
        except Refused as fault:
            if fault.code == Faults.SHUTDOWN_STATE:
                return {}  # it stops them all
            raise

    def states_if_told(self) -> dict[str, str]:
        """Return the same, empty where supervisord cannot say them."""
        try:
            return self.states()
        except SupervisordError:
            return {}

    def info(self, namespec: str) -> ProcessInfo | None:
        """Return what supervisord says of a process; None if it knows none, or says nothing."""
        return next((one for one in self._fetch() if one.namespec == namespec), None)

    def program(self, namespec: str, changed: bool = False) -> Program | None:
        """Return what supervisord would spawn (``changed``: as last reread); None if unknown."""
        try:
            return self.supervisord.program(namespec, changed)
        except SupervisordError as error:
            log.info("%s: %s", namespec, error)
            return None

    def program_lately(self, namespec: str, changed: bool) -> Program | None:
        """Return it as it was a moment ago at most: what waits for the answer is not to wait."""
        now, key = self._clock(), (namespec, changed)
        if key not in self._programs or now >= self._programs[key][0] + REFETCH_SECS:
            self._programs[key] = now, self.program(namespec, changed)
        return self._programs[key][1]

    def looking_as(self, arbiter: Arbiter) -> AbstractContextManager[None]:
        """Look at the paths that its workers tell with no more rights than they have."""
        return self.table.looking_as([*islice(arbiter.workers, 20)] or [arbiter.id])

    def log_of(self, namespec: str) -> str:
        """Where what a program writes to its standard error is to be read."""
        info = self.info(namespec)
        if info is None or not info.log:
            return "its log"
        stream = " stderr" if info.log == "stderr" else ""
        return f"its log (supervisorctl tail {namespec}{stream})"

    def arbiter(self, instance: InstanceId) -> Arbiter | None:
        """Return the arbiter of this identity, new or known; None if supervisord runs none."""
        if instance.pid == self._pid:
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
                instance,
                program_of(name),
                successor=name.endswith((SUCCESSOR_SUFFIX, PREFLIGHT_SUFFIX)),
            )
        return self.arbiters[instance]

    def _is_supervised(self, instance: InstanceId) -> bool:
        """Whether supervisord has forked it: its word may reach us before supervisord's event."""
        child, listener = self.table.child(instance.pid), self.table.child(self._pid)
        return child is not None and listener is not None and child.parent == listener.parent

    def running(self, instance: InstanceId | None) -> Arbiter | None:
        """Return the arbiter that a run is about, if it still runs."""
        return self.arbiters.get(instance) if instance else None

    def exited(self, instance: InstanceId) -> tuple[Arbiter | None, bool, str]:
        """Note the end of a process: the arbiter it was (True) or a worker of (False), and why."""
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
        """Return the arbiter's children that are workers, and not more than it may have."""
        workers = (
            child
            for child in self.table.children(arbiter.id)
            if child in arbiter.workers or self._may_be_worker(arbiter, child)
        )
        return list(islice(workers, MAX_WORKERS))

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
        """Return the arbiters that run for a program: more than one while it is being succeeded."""
        return [one for one in self.arbiters.values() if one.namespec == namespec]

    @property
    def is_stale(self) -> bool:
        """supervisord's processes have changed since they were last fetched."""
        return self._infos is None

    def _fetch(self) -> list[ProcessInfo]:
        try:
            return self.processes()
        except SupervisordError as error:
            log.warning("%s", error)
            return []
