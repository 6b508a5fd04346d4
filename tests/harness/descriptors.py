"""The descriptors that this process has open."""

from __future__ import annotations

from pathlib import Path

from tests.harness.waiting import wait_until


def open_descriptors() -> int:
    """How many there are now. What an earlier test left to be collected may go at any moment."""
    return len(list(Path("/proc/self/fd").iterdir()))


def assert_none_left_open(before: int) -> None:
    """No more descriptors are open than ``before``; the listener closes some in a thread."""
    wait_until(lambda: open_descriptors() <= before, 30, f"no more than {before} are open")
