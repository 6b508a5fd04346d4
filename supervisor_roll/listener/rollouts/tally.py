"""What only grows of a program's rollouts, for Prometheus: as long as supervisord runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from supervisor_roll.rollout.reports import Complete, Facts, Outcome, Refused, WorkerLife

# Seconds; those of a longer boot or drain count below no bound but the last, which is infinite.
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


@dataclass
class Spread:
    """How many seconds were at most each bound and above the one before, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0

    def add(self, secs: float) -> None:
        self.counts[sum(secs > bound for bound in BOUNDS)] += 1
        self.sum += secs


@dataclass
class Tally:
    """Of one program: its rollouts by verdict, and what was recycled, apart from those.

    ``boots`` and ``drains`` are of the workers that these have started, and asked to leave.
    """

    verdicts: dict[str, int] = field(default_factory=dict)
    recycled: int = 0
    last_success: float = 0.0  # in seconds since the epoch; 0: there was none
    boots: Spread = field(default_factory=Spread)
    drains: Spread = field(default_factory=Spread)

    def add(
        self, facts: Facts, recycling: bool, lives: Iterable[WorkerLife], since: float, at: float
    ) -> None:
        """Count a rollout, or a recycling, that began ``since`` and has ended ``at``."""
        if recycling:
            self.recycled += facts.replaced if isinstance(facts, Outcome) else 0
        elif isinstance(facts, Outcome | Refused):
            self.verdicts[facts.kind] = self.verdicts.get(facts.kind, 0) + 1
            self.last_success = at if isinstance(facts, Complete) else self.last_success
        for life in lives:
            if life.began >= since and life.ready_at is not None:
                self.boots.add(life.boot_secs)
            if life.gone_at is not None and life.retiring_at is not None:
                self.drains.add(max(0.0, life.gone_at - life.retiring_at))
