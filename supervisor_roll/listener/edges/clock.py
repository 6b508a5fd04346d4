"""Time as it passes for the listener: not while nobody looked."""

from __future__ import annotations

from collections.abc import Callable

# For no longer than that does the loop sleep while something is due.
TICK_SECS = 5.0
# A longer gap between two looks at the clock: the listener was stopped, or hung, or was not there.
# What was said meanwhile is yet to be read, so that nobody may be judged by that time.
GAP_SECS = 8.0


class SteadyClock:
    """``read`` without the gaps in which nobody asked it for the time: each counts as a tick."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._seen = read()
        self._skipped = 0.0

    def __call__(self) -> float:
        now = self._read()
        gap = now - self._seen
        if gap > GAP_SECS:
            self._skipped += gap - TICK_SECS
        self._seen = now
        return now - self._skipped

    def resume(self, then: float) -> None:
        """Go on from the time that an earlier listener's clock last had."""
        gap = self() - then
        if gap < 0 or gap > GAP_SECS:
            self._skipped += gap - TICK_SECS

    def outside(self, when: float) -> float:
        """Return ``when`` on the clock that it reads; a tick from now at the latest."""
        return min(when, self() + TICK_SECS) + self._skipped
