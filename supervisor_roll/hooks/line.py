"""A hook's connection to the listener's readiness socket."""

from __future__ import annotations

import _socket
import os
import stat
from typing import Any

from supervisor_roll.wire.datagram import SOCKET_VARIABLE


class Line:
    """Connects where that is needed, and can be kept: to connect takes longer than to speak.

    An arbiter keeps one for the workers that it forks. The listener has a queue for each user, so
    that none can fill another's: a worker that is another user than its arbiter connects itself.

    Built on ``_socket``, which gevent does not replace: a heartbeat may run where its hub
    cannot switch.
    """

    def __init__(self) -> None:
        self.path = os.environ.get(SOCKET_VARIABLE, "")  # the listener's directory
        self._socket: _socket.socket | None = None
        self._user = -1  # who connected it
        self._address, self._node = "", (-1, -1)  # where to

    def send(self, data: bytes, ancillary: list[Any], patience_secs: float) -> bool:
        """Send a datagram, if need be on another connection. Whether it was sent."""
        if not self.path:
            return False
        if self._socket is not None and self._user == os.geteuid():
            try:
                self._send(self._socket, data, ancillary, patience_secs)
            except (TimeoutError, BlockingIOError):
                return False  # the queue is full
            except OSError:
                pass  # that listener has ended
            else:
                return True
        try:
            self._send(self._connected(), data, ancillary, patience_secs)
        except OSError:
            self.close()
            return False
        return True

    def renew(self) -> None:
        """Connect it, where the listener's socket is no longer the one that it leads to."""
        if self.path and (self._socket is None or self._node != _node(self._address)):
            try:
                self._connected()
            except OSError:
                self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @staticmethod
    def _send(
        socket: _socket.socket, data: bytes, ancillary: list[Any], patience_secs: float
    ) -> None:
        # A full queue only shows in poll() on a connected socket.
        socket.settimeout(patience_secs)
        socket.sendmsg([data], ancillary)

    def _connected(self) -> _socket.socket:
        self.close()
        # A worker may have become another user since it was forked.
        user = os.geteuid()
        if not _is_a_listeners(self.path, user):
            raise PermissionError(f"{self.path} may be anybody's")
        socket = self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        address = f"{self.path}/{user}"
        try:
            socket.connect(address)
        except OSError:
            if user != 0:
                raise
            # A listener that is not root has no socket but its own user's.
            address = f"{self.path}/{os.stat(self.path).st_uid}"  # noqa: PTH116
            socket.connect(address)
        self._user, self._address, self._node = user, address, _node(address)
        return socket


def _node(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - in a worker pathlib is slow
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino


def _is_a_listeners(path: str, user: int) -> bool:
    """Whether the directory is one that only a listener can have made and can write in.

    In a place such as /tmp anybody may have been there first, to be handed our sockets.
    """
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        return False
    if found.st_uid in (0, user):
        return True
    around = os.stat(os.path.dirname(path))  # noqa: PTH116, PTH120
    return not around.st_mode & stat.S_IWOTH
