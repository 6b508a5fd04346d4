"""After a recycling that has failed: when to try again."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_SECS, MOST_SECS = 60.0, 3600.0


@dataclass
class BackOff:
    """Of one program. ``until`` is on the clock; ``why`` is the last failure.

    ``broken``: a replacement could not be started, or did not serve. For a worker to leave all the
    same would be one worker less for as long as the release is what it is.
    """

    failures: int = 0
    until: float = 0.0
    why: str = ""
    broken: bool = False

    def failed(self, why: str, broken: bool, now: float) -> None:
        """Wait twice as long as last time."""
        self.until = now + min(FIRST_SECS * 2**self.failures, MOST_SECS)
        self.failures, self.why, self.broken = min(self.failures + 1, 10), why, broken
