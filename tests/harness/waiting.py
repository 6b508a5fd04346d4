"""Waiting for a condition, with a deadline that a busy machine puts off."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def patience() -> float:
    """How many times a deadline of a quiet machine is to be waited for on this one, by its load.

    A deadline costs nothing where it is met. What fails shall fail soon where nothing else runs.
    """
    return max(2.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_until(
    condition: Callable[[], T | None],
    deadline_secs: float = 30.0,
    what: str = "",
    every_secs: float = 0.05,
    not_yet: tuple[type[Exception], ...] = (),
) -> T:
    """The first true value of ``condition()``; exceptions that are ``not_yet`` count as none.

    AssertionError, naming ``what`` or the condition, and the last value, if there is none in time.
    """
    began = time.monotonic()
    while True:
        last: object = None
        try:
            value = condition()
        except not_yet as error:
            last = error
        else:
            if value:
                return value
            last = value
        secs = time.monotonic() - began
        if secs >= deadline_secs * patience():
            raise AssertionError(f"not within {secs:.0f} s: {what or condition!r} (last: {last!r})")
        time.sleep(every_secs)
