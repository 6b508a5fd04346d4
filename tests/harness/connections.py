"""Connections to where a program listens."""

from __future__ import annotations

import collections
import http.client
import select
import socket
import ssl
import threading
import time

#: A Unix socket's path, a TCP port on 127.0.0.1, or a host's address and a TCP port.
Address = str | int | tuple[str, int]


def has_ipv6() -> bool:
    """Whether this machine has the loopback address ::1, which some containers do not."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def connected(address: Address, timeout_secs: float | None = 5.0) -> socket.socket:
    """A socket that is connected there. Raises OSError."""
    if isinstance(address, str):
        unix = socket.socket(socket.AF_UNIX)
        try:
            unix.settimeout(timeout_secs)
            unix.connect(address)
        except OSError:
            unix.close()
            raise
        return unix
    where = ("127.0.0.1", address) if isinstance(address, int) else address
    return socket.create_connection(where, timeout_secs)


def refuses(address: Address) -> bool:
    """Whether a connection there is refused at once, or the Unix path is not there."""
    try:
        connected(address).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


class Connection(http.client.HTTPConnection):
    """To an address, over TLS if there is a context for it."""

    def __init__(
        self, address: Address, timeout_secs: float, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__("localhost", timeout=timeout_secs)
        self._address = address
        self._tls = tls
        self.idle_since = 0.0

    def connect(self) -> None:
        self.sock = connected(self._address, self.timeout)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname="localhost")

    def closed_by_peer(self) -> bool:
        """Whether the other side has closed (or spoken out of turn) since the last answer."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))


class Connections:
    """Hands out connections: a new one each time, or (``kept`` > 0) those kept, in turn."""

    def __init__(
        self,
        address: Address,
        timeout_secs: float,
        kept: int,
        trust_secs: float | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.opened = 0
        self.idle_closed = 0
        self._address = address
        self._timeout_secs = timeout_secs
        self._kept = kept
        self._trust_secs = trust_secs
        self._tls = tls
        self._open = 0
        self._idle: collections.deque[Connection] = collections.deque()
        self._lock = threading.Lock()

    def take(self) -> Connection:
        with self._lock:
            while self._idle and self._open >= self._kept:
                connection = self._idle.popleft()
                if self._usable(connection):
                    return connection
                connection.close()
                self._open -= 1
                self.idle_closed += 1
            self._open += 1
            self.opened += 1
        return Connection(self._address, self._timeout_secs, self._tls)

    def _usable(self, connection: Connection) -> bool:
        if self._trust_secs is None:
            return not connection.closed_by_peer()
        return time.monotonic() < connection.idle_since + self._trust_secs

    def put_back(self, connection: Connection) -> None:
        with self._lock:
            if self._open <= self._kept:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
                return
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._open -= 1

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.popleft().close()
