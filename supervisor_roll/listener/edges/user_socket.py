"""One user's readiness socket: only that user, and root, may write to it.

A thread receives. It looks who wrote before anything of a message is touched: what comes from
no process that supervisord runs, nor from a child of one, goes no further, and how long the
kernel takes to close what came with it delays nobody but this user.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import struct
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from supervisor_roll.listener.edges.process_stat import TICKS
from supervisor_roll.listener.edges.received import Answer, Datagram, Descriptors
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.edges.share import Share
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.datagram import MAX_BYTES

_CREDENTIALS = struct.Struct("3i")
_TIMESPEC = struct.Struct("@ll")
_SO_TIMESTAMPNS = 35
# The kernel passes no more than that at once (SCM_MAX_FD).
_MAX_DESCRIPTORS = 253
_SMALL = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_TIMESPEC.size)
_LARGE = _SMALL + socket.CMSG_SPACE(4 * _MAX_DESCRIPTORS)
# How many wait for the loop at the most.
MAX_WAITING = 256
_FEW = 8
# A worker has one or two things to say in a second; what one process says beyond this is dropped.
MAX_EACH_SECOND = 50
# A flood of what is not for us gets at most half of a core.
_BURST_SECS = 0.02

Known = Callable[[int], "InstanceId | None"]


@dataclass(frozen=True)
class Bound:
    """A user's socket that is bound already: where to, by device and inode.

    ``told``: nobody but workers said that the user needs it.
    """

    uid: int
    fd: int
    device: int
    inode: int
    told: bool = False


class UserSocket:
    """Bound in the directory ``directory``, a descriptor, under the user's id.

    ``known`` tells the identity of a process that may be heard; ``wake`` is called from the
    thread when something has come. ``former`` is the user's socket in whose place this one comes:
    what the user may take is for both. ``bound``: it was bound before. ``ended``, after ``close``:
    nothing more will come. Raises OSError.
    """

    def __init__(
        self,
        directory: int,
        uid: int,
        known: Known,
        wake: Callable[[], None],
        former: UserSocket | None = None,
        bound: Bound | None = None,
    ) -> None:
        self.uid = uid
        self._known, self._wake = known, wake
        self._strangers, self._talkative, self._opened = Seldom(), Seldom(), Seldom()
        self._share: Share = former._share if former else Share()
        self._descriptors: Descriptors = former._descriptors if former else Descriptors(256)
        self._dropped: Descriptors = former._dropped if former else Descriptors(1024)
        self._said: dict[InstanceId, int] = {}  # how much, within the second that ends at
        self._second_ends = 0.0
        self._waiting: deque[Datagram] = deque()
        self._changed = threading.Condition()
        self._busy, self._handled = False, 0
        self._closed = self.ended = False
        self._hopeless = -1  # what was handled when the loop waited in vain
        if bound is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        else:
            self._socket = socket.socket(fileno=bound.fd)
        self._socket.setblocking(False)  # whatever the default timeout is
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if bound is None:
                self._inode = _bind(self._socket, directory, uid)
            else:
                self._inode = bound.device, bound.inode
        except OSError:
            self._socket.close()
            raise
        self._poll = select.poll()  # the loop's
        self._poll.register(self._socket, select.POLLIN)
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"receives for {uid}")
        self._thread.start()

    def lost(self, directory: int) -> str:
        """Tell why what is at its path is not this socket; empty if it is.

        It is given its owner and mode again: as its owner the user may open it to others, and
        another socket in its place, each time, would be to that user's liking. Raises OSError.
        """
        try:
            found = os.stat(str(self.uid), dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            return f"cannot be found: {error.strerror}"
        if (found.st_dev, found.st_ino) != self._inode:
            return "was replaced"
        if (found.st_uid, stat.S_IMODE(found.st_mode)) != (self.uid, 0o600):
            self._opened.warn(
                "the socket of user %d was given another owner or mode: it is given its own again",
                self.uid,
            )
            os.chown(str(self.uid), self.uid, -1, dir_fd=directory, follow_symlinks=False)
            os.chmod(str(self.uid), 0o600, dir_fd=directory)
        return ""

    @property
    def handled(self) -> int:
        """How much has come through it, used or not."""
        return self._handled

    def bound(self, told: bool) -> Bound:
        """Return it for who receives in our place."""
        return Bound(self.uid, self._socket.fileno(), *self._inode, told)

    @contextmanager
    def silenced(self) -> Iterator[bool]:
        """Leave what comes meanwhile in the queue. False: we are in the middle of something."""
        with self._changed:
            yield not (self._busy or self._waiting or self._descriptors.open or self._dropped.open)

    def wait(self, until: float) -> None:
        """Wait, until this time on the clock at most, for what is in the queue."""
        if self._share.is_scarce:
            return
        with self._changed:
            enough = self._handled + MAX_WAITING
            while self._behind() and self._handled < enough and self._handled != self._hopeless:
                left = until - time.monotonic()
                if left <= 0:
                    self._hopeless = self._handled
                    break
                self._changed.wait(left)

    def receive(self) -> Iterator[Datagram]:
        """Hand over what has come, one by one, as long as its user has some of our time left.

        Who has taken much of it lately gets a little handed over, or nothing: see ``few``.
        """
        if not self._share.is_spent:
            yield from self._handed(_FEW if self._share.is_scarce else MAX_WAITING)

    def few(self) -> Iterator[Datagram]:
        """Hand over a little, whatever was taken: for when nobody else has said anything."""
        return self._handed(_FEW, whatever_was_taken=True)

    def _handed(self, most: int, *, whatever_was_taken: bool = False) -> Iterator[Datagram]:
        for _ in range(min(most, len(self._waiting))):
            if self._share.is_spent and not whatever_was_taken:
                return
            with self._changed:
                datagram = self._waiting.popleft()
                self._changed.notify_all()
            yield datagram

    @property
    def held_back(self) -> bool:
        """Something waits that is handed over later."""
        return bool(self._waiting)

    def close(self) -> None:
        """Receive no more than what is in the queue."""
        # Who is connected to it can add nothing then; and the thread no longer waits for that.
        self._socket.shutdown(socket.SHUT_RD)
        self._closed = True
        with self._changed:
            self._changed.notify_all()

    def _behind(self) -> bool:
        """Whether there is something that the thread has yet to hand over."""
        if len(self._waiting) >= MAX_WAITING or self.ended:
            return False
        if self._closed:
            return True
        # In this order: the thread is busy before it takes something out of the queue.
        return bool(self._poll.poll(0)) or self._busy

    # --- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            poll.poll()
            self._set_busy(True)
            try:
                self._drain()
            finally:
                self._set_busy(False)
            if self._closed:
                break
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        # Not while the loop may wait for us: to close it may last.
        self._socket.close()

    def _set_busy(self, busy: bool) -> None:
        with self._changed:
            self._busy = busy
            self._changed.notify_all()

    def _drain(self) -> None:
        began = time.thread_time()
        while True:
            try:
                datagram = self._next()
            except BlockingIOError:
                return
            except Exception as error:  # noqa: BLE001 - it costs this message, and no other
                self._strangers.warn("a message could not be received: %r", error)
                self._drop()
                datagram = None
            with self._changed:
                self._handled += 1
                if datagram is not None:
                    self._waiting.append(datagram)
                self._changed.notify_all()
                while len(self._waiting) >= MAX_WAITING:
                    self._wake()
                    self._changed.wait()
            if datagram is not None:
                self._wake()
            elif time.thread_time() > began + _BURST_SECS:
                time.sleep(_BURST_SECS)
                began = time.thread_time()

    def _next(self) -> Datagram | None:
        """Return the next message; None if a stranger sent it. Raises BlockingIOError if none."""
        # With no room for descriptors none is touched.
        _, ancillary, _, _ = self._socket.recvmsg(1, _SMALL, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        pid, uid, sent_at = _attested(ancillary)
        sender = self._known(pid)
        if sender is None or sender.started > sent_at * TICKS:
            # Or it had ended, and this is another with its pid.
            self._drop()
            self._strangers.warn(
                "a message was ignored, of which no program's arbiter or worker is known to be "
                "the sender: it was pid %d of user %d",
                pid,
                uid,
            )
            return None
        if self._says_too_much(sender):
            self._drop()
            self._talkative.warn(
                "a message of pid %d was ignored: it says more than %d things in a second",
                pid,
                MAX_EACH_SECOND,
            )
            return None
        data, fds, complete = self._received(MAX_BYTES + 1, self._descriptors)
        if not complete:
            # The sender gets no answer, and says it again.
            self._descriptors.close(fds)
            fds = []
        answer = Answer(fds[0], self._descriptors) if fds else None
        return Datagram(sender, data, answer, fds[1:], self._descriptors, uid, self._share)

    def _received(self, size: int, descriptors: Descriptors) -> tuple[bytes, list[int], bool]:
        """Return the next message's data and descriptors, and whether the latter are all."""
        space = _SMALL if descriptors.full else _LARGE
        data, ancillary, flags, _ = self._socket.recvmsg(
            size, space, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
        fds = array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        descriptors.came(len(fds))
        return data, list(fds), not flags & socket.MSG_CTRUNC

    def _says_too_much(self, sender: InstanceId) -> bool:
        now = time.monotonic()
        if now >= self._second_ends:
            self._said, self._second_ends = {}, now + 1.0
        said = self._said[sender] = self._said.get(sender, 0) + 1
        return said > MAX_EACH_SECOND

    def _drop(self) -> None:
        """Drop the next message. The kernel is not to close what came with it in this thread."""
        with suppress(OSError):
            _, fds, _ = self._received(1, self._dropped)
            self._dropped.close(fds)


def _attested(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int, float]:
    """Who sent it, by pid and uid, and when, in seconds since the machine's boot."""
    pid, uid, sent_at = 0, -1, 0.0
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid, uid, _ = _CREDENTIALS.unpack(payload[: _CREDENTIALS.size])
        elif level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            whole, nanoseconds = _TIMESPEC.unpack(payload[: _TIMESPEC.size])
            waited = max(0.0, time.time() - whole - nanoseconds / 1e9)
            sent_at = time.clock_gettime(time.CLOCK_BOOTTIME) - waited
    return pid, uid, sent_at


def _bind(one: socket.socket, directory: int, uid: int) -> tuple[int, int]:
    """Bind it beside its path and rename it, so that a hook never finds the path missing.

    Returns its device and inode.
    """
    fresh = f".{uid}"
    try:
        os.unlink(fresh, dir_fd=directory)
    except FileNotFoundError:
        pass
    # Nobody but its owner may have connected to it even for a moment.
    before = os.umask(0o177)
    try:
        one.bind(f"/proc/self/fd/{directory}/{fresh}")
    finally:
        os.umask(before)
    if uid != os.geteuid():
        os.chown(fresh, uid, -1, dir_fd=directory, follow_symlinks=False)
    try:
        os.rename(fresh, str(uid), src_dir_fd=directory, dst_dir_fd=directory)
    except IsADirectoryError:
        os.rename(str(uid), f"{uid}.old", src_dir_fd=directory, dst_dir_fd=directory)
        os.rename(fresh, str(uid), src_dir_fd=directory, dst_dir_fd=directory)
    found = os.stat(str(uid), dir_fd=directory, follow_symlinks=False)
    return found.st_dev, found.st_ino
