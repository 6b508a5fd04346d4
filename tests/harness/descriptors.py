"""The descriptors that this process has open."""

from __future__ import annotations

import gc
import time
from pathlib import Path

from tests.harness.waiting import wait_until


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def settled_descriptors() -> int:
    """How many are open once what earlier tests have left is closed: as garbage, or by a thread."""
    gc.collect()
    before = -1
    while (now := open_descriptors()) != before:
        before = now
        time.sleep(0.05)
    return now


def assert_none_left_open(before: int) -> None:
    """No more descriptors are open than ``before``; the listener closes some in a thread."""
    wait_until(lambda: open_descriptors() <= before, 30, f"no more than {before} are open")
