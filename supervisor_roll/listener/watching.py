"""Who watches is shown each worker as it changes. If nobody does, nothing is gathered or told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from supervisor_roll.listener.edges.supervisord import SupervisordError
from supervisor_roll.listener.exchanges import Exchanges
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.wire.mailbox import Status

log = logging.getLogger("supervisor_roll")

# So often at most they are shown where something has changed, and so often anyhow.
LEAST_SECS, MOST_SECS = 0.25, 2.0
# To measure one takes the kernel a while, the longer the more memory it has.
MEASURED_AT_ONCE = 16
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
        self._exchanges, self._active, self._statuses = exchanges, active, statuses
        self._clock = clock
        self._shown_at = self._all_shown_at = float("-inf")
        self._sizes: dict[int, int] = {}  # by pid, in the order in which they were measured

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
            self._sizes.clear()
            self._all_shown_at = float("-inf")
        if due is None or now < due:
            return
        programs = set(self._exchanges.changed)
        self._shown_at = now
        if now >= self._all_shown_at + MOST_SECS:
            self._all_shown_at = now
            arbiters = self._active.registry.arbiters.values()
            programs |= {one.namespec for one in arbiters} | self._active.runs.keys()
            self._measure([worker.pid for one in arbiters for worker in one.workers])
        self._exchanges.changed = set()
        try:
            self._exchanges.show({name: self._rows(name) for name in programs})
        except SupervisordError as error:
            log.info("who watches is not shown the workers: %s", error)
            self._exchanges.watched = False

    def _rows(self, namespec: str) -> dict[str, WorkerLife]:
        run, status = self._active.runs.get(namespec), self._statuses.get(namespec)
        lives = self._active.lives(namespec, run, status.outdated if status else ())
        return {
            f"{one.pid} {one.began:.1f}" if one.gone_at else str(one.pid): replace(
                one, memory_bytes=0 if one.gone_at else self._sizes.get(one.pid, 0)
            )
            for one in lives
        }

    def _measure(self, pids: Collection[int]) -> None:
        """Measure those that were not, and of the others those that were longest ago."""
        for gone in self._sizes.keys() - set(pids):
            del self._sizes[gone]
        known = [pid for pid in self._sizes if pid in pids]
        for pid in [*(one for one in pids if one not in self._sizes), *known][:MEASURED_AT_ONCE]:
            self._sizes.pop(pid, None)
            size = sum(self._active.registry.table.measured([pid]))
            self._sizes[pid] = size // _MIB * _MIB
