"""A TTIN or TTOU that was sent to an arbiter, and the signs that it was heard.

Only one is under way at a time, since signals of one kind coalesce: the next goes out when the
arbiter has reported its new count, or the process table shows it. It is never repeated
without such a look, and not for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervisor_roll.rollout.events import Action, AddInstance, InstanceId, RemoveOldest, Whose
from supervisor_roll.rollout.timing import CONFIRM_SECS, LOOK_SECS


@dataclass(frozen=True)
class Signal:
    """A TTIN (``adds``) or TTOU whose effect nobody has seen yet. A TTOU meant ``instance``."""

    adds: bool
    whose: Whose
    sent_at: float
    instance: InstanceId | None = None

    @property
    def name(self) -> str:
        return "TTIN" if self.adds else "TTOU"

    @property
    def action(self) -> Action:
        return AddInstance(self.whose) if self.adds else RemoveOldest(self.whose)

    def explains(self, before: int, count: int, whose: Whose) -> bool:
        """Whether it is why that arbiter wanted ``before`` workers, and wants ``count``."""
        return self.whose is whose and count != before and self.adds == (count > before)

    def shown_by(self, workers: tuple[InstanceId, ...], running: int, count: int) -> int | None:
        """Return the count after it, if the process table shows that it was heard.

        These ``workers`` are there, ``running`` of them were not asked to go, and the arbiter
        is known to want ``count``.
        """
        if self.adds:
            return running if running > count else None
        return count - 1 if self.instance not in workers and running < count else None

    def is_overdue(self, now: float) -> bool:
        return now >= self.sent_at + CONFIRM_SECS


def next_look(since: float, last: float | None) -> float:
    """When to look again what has become of what happened ``since``: after twice as long."""
    if last is None or last < since:
        return since + LOOK_SECS
    due = last + min(max(last - since, LOOK_SECS), CONFIRM_SECS)
    confirm = since + CONFIRM_SECS
    return confirm if last < confirm < due else due
