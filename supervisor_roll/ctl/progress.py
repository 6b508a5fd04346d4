"""How far what is under way has come, and about how long the rest takes. Time is an argument."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from supervisor_roll.ctl.render.text import ago, first_line
from supervisor_roll.rollout.reports import ENDS, Arrived, Began, Broken, Replaced
from supervisor_roll.rollout.words import ARBITER
from supervisor_roll.wire.mailbox import Report

_BAR = 30


@dataclass
class _Rollout:
    began: Began
    total: int
    at: float  # when it was last heard of
    done: int = 0
    boots: list[float] = field(default_factory=list)
    broken: str = ""

    def rest_secs(self, now: float, boots: Sequence[float]) -> float:
        """Return 0 where it is not known; ``boots`` are those of earlier workers."""
        told, left = self.began, self.total - self.done
        boots = self.boots or boots
        if not boots or self.broken or left <= 0:
            return 0.0
        holds = told.min_ready_secs if self.done < (told.canary or self.total) else 0.0
        at_once = max(1, told.max_surge + told.max_unavailable)
        step = statistics.median(boots)
        steps = math.ceil(left / at_once)
        held = min(steps, math.ceil(told.canary / at_once)) if told.canary else steps
        return max(steps * step + held * holds - (now - self.at), 1.0)


class Progress:
    """What the reports of the rollouts under way say."""

    def __init__(self) -> None:
        self._rollouts: dict[str, _Rollout] = {}
        self._since = 0.0

    @property
    def programs(self) -> list[str]:
        return list(self._rollouts)

    @property
    def broken(self) -> list[str]:
        """What has gone wrong, a line a program."""
        return [f"{name}: {one.broken}" for name, one in self._rollouts.items() if one.broken]

    def take(self, report: Report, now: float) -> None:
        facts, program = report.content, report.program
        rollout = self._rollouts.get(program)
        if isinstance(facts, Began):
            if not self._rollouts.keys() - {program}:
                self._since = now
            # A successor has as many workers as are wanted, whatever runs now.
            total = facts.desired if facts.strategy == ARBITER else facts.workers
            self._rollouts[program] = _Rollout(facts, total, now)
        elif isinstance(facts, Replaced | Arrived) and rollout is not None:
            rollout.done, rollout.at = facts.done, now
            rollout.boots.append(facts.boot_secs)
        elif isinstance(facts, Broken) and rollout is not None:
            rollout.broken = first_line(facts.why)
        elif report.kind in ENDS:
            self._rollouts.pop(program, None)

    def line(self, now: float, boots: Sequence[float] = (), full: str = "\u2588") -> str:
        """One bar for all that is under way, of which there must be something."""
        first, *others = self._rollouts
        about = f"{len(others) + 1} programs" if others else first
        done = sum(one.done for one in self._rollouts.values())
        total = sum(one.total for one in self._rollouts.values())
        filled = (_BAR * done // total if total else 0) * full
        took = _clock(now - self._since)
        rest = max(one.rest_secs(now, boots) for one in self._rollouts.values())
        left = f"  about {ago(rest)} left" if rest else ""
        return f"{about}  {done}/{total} workers  |{filled:{_BAR}}|  {took}{left}"


def _clock(secs: float) -> str:
    minutes, secs = divmod(int(secs), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes:02}:{secs:02}"
