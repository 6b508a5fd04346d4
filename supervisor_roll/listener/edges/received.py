"""What has come through a readiness socket: a datagram, its descriptors, the way to answer.

Whose descriptors they are, we cannot know: to close one may take as long as its sender likes
(SO_LINGER, or a socket in whose queue there is such a one). So none is closed in the loop.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from supervisor_roll.listener.edges.share import Share
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.datagram import encode
from supervisor_roll.wire.messages import Message

# Of one way in. One descriptor that lasts occupies one.
_THREADS = 8
_IDLE_SECS = 1.0


class Descriptors:
    """The descriptors that came one way, counted, and closed in threads of their own."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._open = 0
        self._lock = threading.Lock()
        self._closing: queue.SimpleQueue[tuple[list[int], threading.Event]] = queue.SimpleQueue()
        self._threads = 0
        self._stuck: threading.Event | None = None

    @property
    def open(self) -> int:
        """How many have come and are not closed yet, nor another's."""
        return self._open

    @property
    def full(self) -> bool:
        """More of them should not be taken now."""
        return self._open >= self._limit

    def came(self, number: int) -> None:
        """So many were received."""
        with self._lock:
            self._open += number

    def taken(self, number: int) -> None:
        """So many of them are another's to close from now on."""
        self.came(-number)

    def close(self, fds: Iterable[int], patience_secs: float = 0.0) -> None:
        """Close them, soon. Returns at once, or when it is done, if that is within our patience."""
        closing = list(fds)
        if not closing:
            return
        done = threading.Event()
        with self._lock:
            waits = not self._closing.empty()
            self._closing.put((closing, done))
            if self._threads == 0 or (waits and self._threads < _THREADS):
                threading.Thread(target=self._run, daemon=True, name="closes").start()
                self._threads += 1
        # Behind one that has not been closed within our patience nothing else will be.
        stuck = self._stuck is not None and not self._stuck.is_set()
        if patience_secs and not stuck and not done.wait(patience_secs):
            self._stuck = done

    def _run(self) -> None:
        while True:
            try:
                fds, done = self._closing.get(timeout=_IDLE_SECS)
            except queue.Empty:
                with self._lock:
                    if self._closing.empty():
                        self._threads -= 1
                        return
                continue
            for fd in fds:
                try:
                    os.close(fd)
                except OSError:
                    pass  # the kernel has let go of it, whatever it says (close(2))
            self.taken(len(fds))
            done.set()


class Answer:
    """The sender's own socket, for one answer. Closed when answered, or dropped."""

    def __init__(self, fd: int, descriptors: Descriptors) -> None:
        self._fd, self._descriptors = fd, descriptors

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Answer once, with ``fds``, which are closed. A sender that has gone is no error."""
        self._send(message, fds)
        self._descriptors.came(len(fds))
        self._descriptors.close(fds)
        self.drop()

    def _send(self, message: Message, fds: Sequence[int]) -> None:
        if self._fd < 0:
            return
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            theirs = socket.socket(fileno=self._fd)
            try:
                theirs.setblocking(False)  # whatever the default timeout is
                if _is_of_a_pair(theirs):
                    theirs.sendmsg(
                        [encode(message)], ancillary, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
                    )
            finally:
                theirs.detach()
        except OSError:
            pass

    def drop(self) -> None:
        if self._fd >= 0:
            self._descriptors.close([self._fd])
            self._fd = -1


def _is_of_a_pair(one: socket.socket) -> bool:
    """Whether it is an end of a socket pair, as the hooks send.

    Through a socket that leads elsewhere the sender would have us speak there as who we are.
    """
    return (one.family, one.type) == (
        socket.AF_UNIX,
        socket.SOCK_SEQPACKET,
    ) and not one.getpeername()


@dataclass
class Datagram:
    """One datagram, and the process and user that sent it, as the kernel attests them.

    ``fds`` are the descriptors that came with it beside the answer's; whoever takes one
    takes it out of the list, and ``close`` has the others closed.
    """

    sender: InstanceId
    data: bytes
    answer: Answer | None
    fds: list[int] = field(default_factory=list)
    descriptors: Descriptors = field(default_factory=Descriptors)
    uid: int = -1
    share: Share = field(default_factory=Share)

    def __post_init__(self) -> None:
        self._came = len(self.fds)

    def close(self) -> None:
        self.descriptors.taken(self._came - len(self.fds))
        self.descriptors.close(self.fds)
        self.fds.clear()
        self._came = 0
