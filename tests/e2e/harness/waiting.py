"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None], deadline_secs: float, what: str, every_secs: float = 0.02
) -> T:
    """The first true value of ``condition()``.

    AssertionError, naming ``what`` and the last value, if there is none in time.
    """
    deadline = time.monotonic() + deadline_secs
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {deadline_secs} s: {what} (last: {value!r})")
        time.sleep(every_secs)
