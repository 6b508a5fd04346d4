"""Memory that an arbiter shares with its workers, since neither can ask the other."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Generic, TypeVar

from supervisor_roll.wire.datagram import WORKER_MARK

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker

ATTRIBUTE = "_supervisor_roll"
# How often the workers of an arbiter, all in all, say a count again that was not acknowledged.
AGAIN_SECS = 2.0
# Of a page's first bytes: both change at once.
_COUNT = struct.Struct("<II")


_T = TypeVar("_T", bool, int, float)


class _Field(Generic[_T]):
    """A value in a page: where it stands there, and its form as the module ``struct`` has it."""

    def __init__(self, at: int, form: str) -> None:
        self._at, self._struct = at, struct.Struct(form)

    def __get__(self, page: _Page, owner: type[_Page]) -> _T:
        value: _T = self._struct.unpack_from(page.memory, self._at)[0]
        return value

    def __set__(self, page: _Page, value: _T) -> None:
        self._struct.pack_into(page.memory, self._at, value)


class _TextField:
    """A text of ``size`` bytes at the most in a page; a longer one is empty."""

    def __init__(self, at: int, size: int) -> None:
        self._at, self._size = at, size

    def __get__(self, page: _Page, owner: type[_Page]) -> str:
        held = page.memory[self._at : self._at + self._size]
        return held.partition(b"\0")[0].decode(errors="replace")

    def __set__(self, page: _Page, value: str) -> None:
        text = value.encode()
        text = text if len(text) < self._size else b""
        page.memory[self._at : self._at + self._size] = text.ljust(self._size, b"\0")


class _Page:
    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)

    def close(self) -> None:
        self.memory.close()


class ArbiterPage(_Page):
    """How many workers the arbiter wants, and how its workers' boots go. One for an arbiter."""

    # One of the arbiter's workers has been ready: a failed boot must not halt it any more.
    armed = _Field[bool](8, "?")
    # How many boots have failed since a worker was last ready.
    failures = _Field[int](9, "B")
    # Another arbiter serves in this one's place, once it stops.
    retiring = _Field[bool](10, "?")
    # The listener has nothing to say to a worker before it is ready, as one was last told.
    ready_alone = _Field[bool](11, "?")
    # The times are of the monotonic clock.
    # Till when the workers are to tell what they answer.
    watched_until = _Field[float](16, "d")
    # By when all workers of one that retires are to be gone; or 0.
    drained_by = _Field[float](24, "d")
    # How many seconds a drain may take as far as a worker was last told; 0 before that.
    drain_secs = _Field[float](32, "d")
    # Where the status page is, and the file that makes it 404, as a worker was last told.
    status_path = _TextField(64, 256)
    drained_path = _TextField(320, 1024)
    _heard_changes = _Field[int](40, "I")
    _said_at = _Field[float](48, "d")

    def count(self) -> tuple[int, int]:
        """Return how often the count has changed, and the count."""
        changes, count = _COUNT.unpack_from(self.memory)
        return changes, count

    def set_count(self, count: int) -> None:
        changes, before = self.count()
        if count != before:
            _COUNT.pack_into(self.memory, 0, changes + 1, count)

    def count_is_due(self, now: float) -> bool:
        """Whether the count is to be said again by who asks: the listener may not have heard it."""
        if self._heard_changes == self.count()[0] or now < self._said_at + AGAIN_SECS:
            return False
        self._said_at = now
        return True

    def count_heard(self, changes: int) -> None:
        """Note that the listener knows of so many changes of the count."""
        if changes >= 0:
            self._heard_changes, self._said_at = changes & 0xFFFFFFFF, 0.0

    def boot_failed(self) -> None:
        self.failures = min(self.failures + 1, 255)

    def became_ready(self) -> None:
        self.armed, self.failures = True, 0


class WorkerPage(_Page):
    """What an arbiter must know of one worker when it exits. One for a worker."""

    # The worker has said that it can serve.
    ready = _Field[bool](0, "?")
    # The worker was born of TTIN and no older one has left for it: it is not replaced.
    surplus = _Field[bool](1, "?")
    # By which age the arbiter is to retire it: below 0 if it is due to be replaced, else 0.
    retire_age = _Field[int](4, "i")


def mark() -> mmap.mmap:
    """Map memory by which the kernel shows that this process is a worker, while it is kept.

    An arbiter may have other children, and a worker may not come to say what it is.
    """
    descriptor = os.memfd_create(WORKER_MARK)
    try:
        os.truncate(descriptor, 1)
        return mmap.mmap(descriptor, 1)
    finally:
        os.close(descriptor)


def page_of(worker: Worker) -> WorkerPage | None:
    """Return the worker's page; None where our ``pre_fork`` did not run for it."""
    return getattr(worker, ATTRIBUTE, None)
