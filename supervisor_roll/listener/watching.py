"""Who watches is shown each worker as it changes. If nobody does, nothing is gathered or told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from supervisor_roll.listener.edges.supervisord import SupervisordError
from supervisor_roll.listener.exchanges import Exchanges
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.eligibility import RELOADS, why_not_recycle
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.wire.mailbox import Status
from supervisor_roll.wire.workers import RESISTS

log = logging.getLogger("supervisor_roll")

# So often at most they are shown where something has changed, and so often anyhow.
LEAST_SECS, MOST_SECS = 0.25, 2.0
# To measure one takes the kernel a while, the longer the more memory it has; a worker that becomes
# ready meanwhile waits. So it is one at least, and no other after so long.
MEASURED_AT_ONCE, MEASURED_WITHIN_SECS = 16, 0.002
_MIB = 2**20


class Watching:
    """``statuses`` have the last end of each program."""

    def __init__(
        self,
        exchanges: Exchanges,
        active: ActiveRollouts,
        statuses: Mapping[str, Status],
        clock: Callable[[], float],
    ) -> None:
        self._exchanges, self._active, self._clock = exchanges, active, clock
        self._lives = Lives(active, statuses)
        self._shown_at = self._all_shown_at = float("-inf")

    def next_deadline(self) -> float | None:
        if not self._exchanges.watched:
            return None
        if self._exchanges.changed:
            return self._shown_at + LEAST_SECS
        return self._all_shown_at + MOST_SECS

    def tick(self) -> None:
        """Show what is due. What does not arrive is shown the next time."""
        due, now = self.next_deadline(), self._clock()
        if due is None:
            self._lives.forget()
            self._all_shown_at = float("-inf")
        if due is None or now < due:
            return
        programs = set(self._exchanges.changed)
        self._shown_at = now
        if now >= self._all_shown_at + MOST_SECS:
            self._all_shown_at = now
            arbiters = self._active.registry.arbiters.values()
            programs |= {one.namespec for one in arbiters} | self._active.runs.keys()
            self._lives.measure()
        self._exchanges.changed = set()
        try:
            self._exchanges.show({name: self._rows(name) for name in programs})
        except SupervisordError as error:
            log.info("who watches is not shown the workers: %s", error)
            self._exchanges.watched = False

    def _rows(self, namespec: str) -> dict[str, WorkerLife | str]:
        rows: dict[str, WorkerLife | str] = {
            f"{one.pid} {one.began:.1f}" if one.gone_at else str(one.pid): one
            for one in self._lives(namespec)
        }
        if why := self._lives.resists(namespec):
            rows[RESISTS] = why
        return rows


class Lives:
    """How the workers of each program live, with their memory, for one who watches.

    ``statuses`` have the last end of each program.
    """

    def __init__(self, active: ActiveRollouts, statuses: Mapping[str, Status]) -> None:
        self._active, self._statuses = active, statuses
        self._sizes: dict[int, int] = {}  # by pid, in the order in which they were measured

    def __call__(self, namespec: str) -> list[WorkerLife]:
        """Return those that run, and in a rollout under way those that have gone meanwhile."""
        run, status = self._active.runs.get(namespec), self._statuses.get(namespec)
        lives = self._active.lives(namespec, run, status.outdated if status else ())
        return [
            replace(one, memory_bytes=0 if one.gone_at else self._sizes.get(one.pid, 0))
            for one in lives
        ]

    def resists(self, namespec: str) -> str:
        """Say why the program cannot be rolled as it runs now; empty if it can."""
        why = ""
        for arbiter in self._active.registry.siblings(namespec):
            why = why_not_recycle(arbiter) or (RELOADS if arbiter.facts.reload else "") or why
        return why

    def measure(self) -> None:
        """Measure those that were not, and of the others those that were longest ago."""
        registry = self._active.registry
        pids = [worker.pid for one in registry.arbiters.values() for worker in one.workers]
        self._sizes = {pid: size for pid, size in self._sizes.items() if pid in pids}
        new = [one for one in pids if one not in self._sizes]
        until = time.monotonic() + MEASURED_WITHIN_SECS
        for pid in [*new, *self._sizes][:MEASURED_AT_ONCE]:
            self._sizes.pop(pid, None)
            self._sizes[pid] = sum(registry.table.measured([pid])) // _MIB * _MIB
            if time.monotonic() >= until:
                break

    def forget(self) -> None:
        """Take no size for known."""
        self._sizes.clear()
