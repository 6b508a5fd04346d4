"""The Unix datagram socket that Gunicorn's hooks write to. The kernel says who wrote."""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supervisor_roll.wire.datagram import MAX_BYTES, MAX_SOCKETS, Message, encode

_CREDENTIALS = struct.Struct("3i")
_BURST = 64


class Answer:
    """The sender's own socket, for one answer. Closed when answered, or dropped."""

    def __init__(self, fd: int) -> None:
        self._socket: socket.socket | None = socket.socket(fileno=fd)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Answer once, with duplicates of ``fds``. A sender that has gone is no error."""
        if self._socket is not None:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
            try:
                self._socket.sendmsg(
                    [encode(message)], ancillary, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
                )
            except OSError:
                pass
            self.drop()

    def drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@dataclass
class Datagram:
    """One datagram. ``pid`` is the sender's as the kernel attests it; 0 if it did not.

    ``fds`` are the descriptors that came with it beside the answer's; whoever takes one
    takes it out of the list, and ``close`` closes the others.
    """

    pid: int
    data: bytes
    answer: Answer | None
    fds: list[int] = field(default_factory=list)

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())


class ReadinessSocket:
    """The bound socket. Anybody may write to it: whether a sender counts is decided by its pid."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # Bound beside and renamed, so that a hook never finds the path missing, and the
        # socket of a listener that was killed is replaced.
        fresh = f"{path}.{os.getpid()}"[:107]
        Path(fresh).unlink(missing_ok=True)
        self._socket.bind(fresh)
        Path(fresh).chmod(0o666)
        Path(fresh).rename(path)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[Datagram]:
        """What has come, at most a burst of it, without waiting."""
        space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * (1 + MAX_SOCKETS))
        datagrams: list[Datagram] = []
        while len(datagrams) < _BURST:
            try:
                data, ancillary, _flags, _address = self._socket.recvmsg(
                    MAX_BYTES + 1, space, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                break
            pid = 0
            fds = array("i")
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    pid = _CREDENTIALS.unpack(payload[: _CREDENTIALS.size])[0]
                elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
            answer = _answer(fds[0]) if fds else None
            datagrams.append(Datagram(pid, data, answer, list(fds[1:])))
        return datagrams


def _answer(fd: int) -> Answer | None:
    try:
        return Answer(fd)
    except OSError:
        os.close(fd)
        return None
