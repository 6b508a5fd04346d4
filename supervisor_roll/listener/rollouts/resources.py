"""The memory and processes that more workers take, and what there is of both.

Rollouts under way may still be going to take some of it: that counts as taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.edges import memory, process_limits
from supervisor_roll.listener.edges.memory import Cost, Room
from supervisor_roll.listener.edges.process_limits import Left, Need
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.rollout.run import PREFLIGHT


@dataclass(frozen=True)
class Owed:
    """What the rollouts under way, of the programs ``by``, are still going to take."""

    by: tuple[str, ...] = ()
    bytes: int = 0
    threads: int = 0


@dataclass(frozen=True)
class Resources:
    """What one program's workers take, ``others`` are threads, and what there is for more."""

    sizes: list[int]
    threads: list[int]
    others: int
    room: Room
    left: Left | None

    @classmethod
    def of(cls, arbiter: Arbiter, table: ProcessTable, successor: bool) -> Resources:
        """Measure the arbiter's workers; a ``successor`` of it has threads of its own."""
        pid, workers = arbiter.id.pid, [one.pid for one in arbiter.workers]
        return cls(
            table.measured(workers),
            [table.threads(one) for one in workers],
            table.threads(pid) if successor else 0,
            table.room(pid),
            table.processes_left(pid),
        )

    def less(self, owed: Owed) -> Resources:
        """Return them without what others will take."""
        left = self.left and replace(self.left, count=max(0, self.left.count - owed.threads))
        room = replace(self.room, available_bytes=self.room.available_bytes - owed.bytes)
        return replace(self, room=room, left=left)

    def cost(self, workers: int) -> Cost | None:
        """Return what so many more workers take of memory; None if unknown."""
        return memory.cost(workers, self.sizes, self.room)

    def need(self, workers: int) -> Need | None:
        """Return what they take of processes and threads; None where these are not limited."""
        others = self.others if workers else 0
        return process_limits.need(workers, self.threads, others, self.left)

    def short(self, workers: int) -> str:
        """Why there is no room for so many more; empty if there is."""
        cost, need = self.cost(workers), self.need(workers)
        if cost is not None and not cost.fits:
            return f"it does not fit into memory: {cost.text}; free some"
        if need is not None and not need.fits:
            return f"it does not fit into the limit of processes: {need.text}; raise that"
        return ""


def owed(runs: Iterable[Run], table: ProcessTable) -> Owed:
    """Return what these runs' rollouts are still going to take."""
    by, size, threads = list[str](), 0, 0
    for run in runs:
        if run.rolling is None:
            continue
        to_come = run.rolling.to_come + (run.phase == PREFLIGHT)
        booting = [one.id.pid for one in run.rolling.instances.fresh if not one.ready]
        still = sum(run.worker_bytes - one for one in table.measured(booting))
        by.append(run.namespec)
        size += to_come * run.worker_bytes + max(0, still)
        threads += to_come * run.worker_threads
    return Owed(tuple(by), size, threads)
