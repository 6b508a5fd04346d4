"""Which workers are, or are about to be, past ``max_worker_rss_mib``.

What counts is a worker's own memory (USS: what would be free if it left), so that what it shares
with its arbiter, such as preloaded code, is no leak. A worker that grows is due so early that it
is gone before it reaches the limit: after the next look, and the boots before its turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker
from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.events import InstanceId

log = logging.getLogger("supervisor_roll")

MIB = 2**20
# So often workers are looked at; and as often as that, where one would reach its limit before.
EVERY_SECS, LEAST_SECS = 10.0, 1.0
# One that is looked at for the first time within so many seconds of its boot is new.
NEW_SECS = 3 * EVERY_SECS
# From being told to go until a boot begins: some heartbeats.
TELLING_SECS = 5.0


@dataclass
class _Growth:
    """What a worker had when it was last looked at, and by how much it grew, in a second."""

    at: float
    size: int
    slow: float = 0.0  # the lesser of the last two: what grows once is no leak
    last: float | None = None

    def seen(self, now: float, size: int) -> None:
        if now > self.at:
            grown = (size - self.size) / (now - self.at)
            self.slow = 0.0 if self.last is None else max(0.0, min(self.last, grown))
            self.last, self.at, self.size = grown, now, size


class MemoryWatch:
    """``refused`` says of programs why their limit is ignored, until that is another one."""

    def __init__(self, table: ProcessTable, configuration: Callable[[], Configuration]) -> None:
        self._table, self._configuration = table, configuration
        self.refused: dict[str, str] = {}
        self._grown: dict[InstanceId, _Growth] = {}
        self._look_at = float("-inf")
        self._limited = False

    def begin(self) -> None:
        """There is a limit."""
        self._limited = True

    def next_deadline(self) -> float | None:
        """When ``look`` is due; None if nothing is limited."""
        return self._look_at if self._limited else None

    def is_due(self, now: float) -> bool:
        return now >= self._look_at

    def look(self, arbiters: list[Arbiter], now: float) -> list[Worker]:
        """Return the workers that are due, each with why; none before the next look is due."""
        if not self.is_due(now):
            return []
        self._look_at = now + EVERY_SECS
        self._limited = False
        found: list[Worker] = []
        there = {id for one in arbiters for id in one.workers}
        self._grown = {id: one for id, one in self._grown.items() if id in there}
        for arbiter in arbiters:
            limit = self._limit_of(arbiter.namespec)
            if limit is not None:
                self._limited = True
                found += self._look_at_workers(arbiter, limit, now)
        return found

    def _limit_of(self, namespec: str) -> int | None:
        try:
            settings = self._configuration().settings_for(namespec)
        except (BadSetting, BadConfiguration):
            return None  # it is told where it is to be used
        return settings.max_worker_rss_mib if settings.recycle else None

    def _look_at_workers(self, arbiter: Arbiter, mib: int, now: float) -> list[Worker]:
        found: list[Worker] = []
        limit, namespec = mib * MIB, arbiter.namespec
        refusal = f"max_worker_rss_mib={mib} is ignored"
        if not self.refused.get(namespec, refusal).startswith(refusal):
            del self.refused[namespec]
        workers = [one for one in arbiter.workers.values() if one.heard and one.ready]
        boot_secs = max((one.boot_secs for one in workers), default=0.0)
        waits = TELLING_SECS + boot_secs * (1 + sum(bool(one.due) for one in workers))
        for worker in workers:
            size = self._table.own_bytes(worker.id.pid)
            if not size:
                continue  # it has gone, or we may not see that
            new = worker.id not in self._grown
            growth = self._grown.setdefault(worker.id, _Growth(now, size))
            growth.seen(now, size)
            if size >= limit and new and self._table.age_secs(worker.id) < boot_secs + NEW_SECS:
                had = f"{size / MIB:.0f} MiB"
                self._refuse(namespec, f"{refusal}: a worker that has just started has {had}")
            expected = size + growth.slow * (EVERY_SECS + waits)
            if namespec in self.refused or worker.offered:
                continue
            if size >= limit or (expected >= limit and size > limit / 2):
                worker.due = f"{size / MIB:.0f} MiB, limit {mib}"
                worker.over = max(size, expected) / limit
                waits += boot_secs
                found.append(worker)
            else:
                # One that is new may well grow as the others do.
                soon = (limit - size) / max(self._fastest(workers), 1.0) / 3
                self._look_at = min(self._look_at, now + max(LEAST_SECS, soon))
        return found

    def _fastest(self, workers: list[Worker]) -> float:
        """By how many bytes a second one of these grew when it was last looked at."""
        grown = (self._grown.get(one.id) for one in workers)
        return max((one.last or 0.0 for one in grown if one is not None), default=0.0)

    def _refuse(self, namespec: str, why: str) -> None:
        if namespec not in self.refused:
            self.refused[namespec] = why
            log.error("%s: %s", namespec, why)
