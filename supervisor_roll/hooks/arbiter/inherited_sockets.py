"""An arbiter's LISTENERS, of sockets that the listener has kept and of new ones.

``Arbiter.start()`` opens no sockets where ``on_starting`` has set LISTENERS, and where it
is handed any it opens none of the others that are configured. So they are put together here,
address by address, by Gunicorn's own classes.
"""

from __future__ import annotations

import _socket
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.arbiter.addresses import is_socket, path_of, text_of

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Config, Listener


class PathInUseError(Exception):
    """Somebody serves on the path of a Unix socket that would be opened."""


class InheritedSocket:
    """A listening socket from the store. ``text`` is the address that it was configured with."""

    def __init__(self, text: str, fd: int) -> None:
        """Take the descriptor over. Raises OSError if it is no socket, and closes it."""
        self.text = text
        try:
            # Not the class of socket, which gevent may have replaced.
            self._socket = _socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            raise
        self.family, self.name = self._socket.family, self._socket.getsockname()

    def detach(self) -> int:
        return self._socket.detach()

    def close(self) -> None:
        self._socket.close()


def kept_from(texts: Sequence[str], fds: Sequence[int]) -> list[InheritedSocket]:
    """Take all of the descriptors over. None are kept where they are not one for each text."""
    left = list(fds)
    kept: list[InheritedSocket] = []
    try:
        if len(texts) != len(fds):
            raise ValueError(f"{len(fds)} descriptors came for {len(texts)} addresses")
        for text in texts:
            kept.append(InheritedSocket(text, left.pop(0)))
    except Exception:
        for one in kept:
            one.close()
        raise
    finally:
        for fd in left:
            os.close(fd)
    return kept


def listeners(
    server: Arbiter, kept: Sequence[InheritedSocket], *, beside_another: bool
) -> list[Listener]:
    """Make a Gunicorn socket for each configured address, in that order, and use up ``kept``.

    For an address of which no socket is kept one is opened, as Gunicorn does: it ends the
    process where it cannot. ``beside_another`` arbiter, no path is taken from whoever serves
    there: raises PathInUseError.
    """
    from gunicorn.sock import create_sockets

    left = list(kept)
    made: list[Listener] = []
    try:
        # Of no address: it looks whether there is a certificate, as it would for all.
        create_sockets(_Only(server.cfg), server.log)
        for address in server.cfg.address:
            match = next((one for one in left if _is_for(one, address)), None)
            if match is not None:
                left.remove(match)
                made.append(_wrapped(server, address, match))
                continue
            path = path_of(address)
            if beside_another and path and _served(path):
                raise PathInUseError(f"somebody serves on {path}, and its socket is not kept")
            made += create_sockets(_Only(server.cfg, address), server.log)
    except BaseException:
        for listener in made:
            listener.close()
        raise
    finally:
        for one in left:
            one.close()
    for listener in made:
        listener.conf = server.cfg
    return made


class _Only:
    """A Gunicorn configuration, with these addresses only."""

    def __init__(self, cfg: Config, *addresses: Any) -> None:
        self._cfg = cfg
        self.address = list(addresses)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)


def _is_for(kept: InheritedSocket, address: Any) -> bool:
    """Tell whether the kept socket is what Gunicorn would open for the address."""
    from gunicorn.sock import _sock_type

    if kept.family != _sock_type(address).FAMILY:
        return False
    if not isinstance(address, tuple):
        path = path_of(address)
        if path and not is_socket(path):
            return False  # the path is gone, and nobody can reach the socket that was there
        return kept.text == text_of(address) or (
            bool(path) and Path(path).resolve() == Path(kept.text.removeprefix("unix:")).resolve()
        )
    if kept.text == text_of(address):
        return True
    try:
        found = _socket.getaddrinfo(
            address[0] or None, address[1], kept.family, _socket.SOCK_STREAM, 0, _socket.AI_PASSIVE
        )
    except OSError:
        return False
    return any(one[4][:2] == kept.name[:2] for one in found)


def _wrapped(server: Arbiter, address: Any, kept: InheritedSocket) -> Listener:
    from gunicorn.sock import _sock_type

    fd = kept.detach()
    try:
        # It makes a duplicate for itself, and closes this one.
        listener: Listener = _sock_type(address)(address, server.cfg, server.log, fd=fd)
        return listener
    except BaseException:
        with suppress(OSError):
            os.close(fd)
        raise


def _served(path: str) -> bool:
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        client.setblocking(False)
        client.connect(path)
    except BlockingIOError:
        return True  # by somebody whose backlog is full
    except OSError:
        return False
    finally:
        client.close()
    return True
