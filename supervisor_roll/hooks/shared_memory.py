"""Memory that an arbiter shares with its workers, since neither can ask the other."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

from supervisor_roll.wire.datagram import WORKER_MARK

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker

ATTRIBUTE = "_supervisor_roll"
_COUNT = struct.Struct("<II")
_BOOTS = struct.Struct("<?B")
_WATCH = struct.Struct("<d")
_DRAIN = struct.Struct("<?d")
_USUAL = struct.Struct("<d")
_DRAIN_AT = _COUNT.size + _BOOTS.size + _WATCH.size
_USUAL_AT = _DRAIN_AT + _DRAIN.size
_HEARD = struct.Struct("<Id")
_HEARD_AT = _USUAL_AT + _USUAL.size
# How often the workers of an arbiter, all in all, say a count again that was not acknowledged.
AGAIN_SECS = 2.0


class ArbiterPage:
    """How many workers the arbiter wants, and how its workers' boots go. One for an arbiter."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _HEARD_AT + _HEARD.size)

    def count(self) -> tuple[int, int]:
        """Return how often the count has changed, and the count."""
        changes, count = _COUNT.unpack_from(self._page)
        return changes, count

    def set_count(self, count: int) -> None:
        changes, before = self.count()
        if count != before:
            _COUNT.pack_into(self._page, 0, changes + 1, count)

    def count_is_due(self, now: float) -> bool:
        """Whether the count is to be said again by who asks: the listener may not have heard it."""
        heard, said_at = _HEARD.unpack_from(self._page, _HEARD_AT)
        if heard == self.count()[0] or now < said_at + AGAIN_SECS:
            return False
        self._set_heard(heard, now)
        return True

    def count_heard(self, changes: int) -> None:
        """Note that the listener knows of so many changes of the count."""
        if changes >= 0:
            self._set_heard(changes, 0.0)

    def _set_heard(self, changes: int, said_at: float) -> None:
        _HEARD.pack_into(self._page, _HEARD_AT, changes & 0xFFFFFFFF, said_at)

    @property
    def armed(self) -> bool:
        """One of the arbiter's workers has been ready: a failed boot must not halt it any more."""
        return bool(_BOOTS.unpack_from(self._page, _COUNT.size)[0])

    @property
    def failures(self) -> int:
        """How many boots have failed since a worker was last ready."""
        return int(_BOOTS.unpack_from(self._page, _COUNT.size)[1])

    def boot_failed(self) -> None:
        _BOOTS.pack_into(self._page, _COUNT.size, self.armed, min(self.failures + 1, 255))

    @property
    def watched_until(self) -> float:
        """Till when, on the monotonic clock, the workers are to tell what they answer."""
        return float(_WATCH.unpack_from(self._page, _COUNT.size + _BOOTS.size)[0])

    def watch_until(self, when: float) -> None:
        _WATCH.pack_into(self._page, _COUNT.size + _BOOTS.size, when)

    @property
    def retiring(self) -> bool:
        """Another arbiter serves in this one's place, once it stops."""
        return bool(_DRAIN.unpack_from(self._page, _DRAIN_AT)[0])

    @retiring.setter
    def retiring(self, retiring: bool) -> None:
        _DRAIN.pack_into(self._page, _DRAIN_AT, retiring, self.drained_by)

    @property
    def drained_by(self) -> float:
        """By when, on the monotonic clock, all workers of one that retires are to be gone; or 0."""
        return float(_DRAIN.unpack_from(self._page, _DRAIN_AT)[1])

    @drained_by.setter
    def drained_by(self, when: float) -> None:
        _DRAIN.pack_into(self._page, _DRAIN_AT, self.retiring, when)

    @property
    def drain_secs(self) -> float:
        """How long a drain may take as far as a worker was last told; 0 before that."""
        return float(_USUAL.unpack_from(self._page, _USUAL_AT)[0])

    @drain_secs.setter
    def drain_secs(self, secs: float) -> None:
        _USUAL.pack_into(self._page, _USUAL_AT, secs)

    def became_ready(self) -> None:
        _BOOTS.pack_into(self._page, _COUNT.size, True, 0)


class WorkerPage:
    """What an arbiter must know of one worker when it exits. One for a worker."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 2)

    @property
    def ready(self) -> bool:
        """The worker has said that it can serve."""
        return self._page[0] == 1

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._page[0] = ready

    @property
    def surplus(self) -> bool:
        """The worker was born of TTIN and no older one has left for it: it is not replaced."""
        return self._page[1] == 1

    @surplus.setter
    def surplus(self, surplus: bool) -> None:
        self._page[1] = surplus

    def close(self) -> None:
        self._page.close()


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
