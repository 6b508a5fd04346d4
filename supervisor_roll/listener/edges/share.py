"""How much of the loop's time one user's messages may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Of each second. What was not used is kept, up to what a hundred booting workers take at once.
SHARE = 0.2
BURST_SECS = 2.0


class Share:
    """One user's. ``used`` is the time that the loop's thread has worked."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._used = clock, used
        self._left, self._at = BURST_SECS, clock()

    @property
    def is_spent(self) -> bool:
        """Others come first now."""
        return self._left_secs() <= 0

    @property
    def is_scarce(self) -> bool:
        return self._left_secs() < BURST_SECS / 2

    def _left_secs(self) -> float:
        now = self._clock()
        self._left = min(BURST_SECS, self._left + SHARE * (now - self._at))
        self._at = now
        return self._left

    @contextmanager
    def spend(self) -> Iterator[None]:
        """Count what is done within as done for this user."""
        began = self._used()
        try:
            yield
        finally:
            self._left -= self._used() - began
