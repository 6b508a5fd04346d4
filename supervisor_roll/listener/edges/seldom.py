"""Log lines that others can bring about at will: one a minute, with how many there were."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger("supervisor_roll")

EACH_SECS = 60.0


class Seldom:
    """One kind of such a line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def warn(self, text: str, *values: object) -> None:
        """Log it, unless a line of this kind was logged within the last minute."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        more = f" ({self._left_out} more like it since the last line)" if self._left_out else ""
        self._next, self._left_out = now + EACH_SECS, 0
        log.warning(text + "%s", *values, more)
