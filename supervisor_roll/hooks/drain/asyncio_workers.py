"""The drains of the worker classes that run an asyncio loop."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.drain.lame_duck import (
    RESTARTS,
    TICK_SECS,
    LameDuck,
    as_handler,
    set_handler,
)
from supervisor_roll.hooks.safely import safely

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import ASGIWorker, TornadoWorker

_Send = Callable[[dict[str, Any]], Awaitable[None]]
_App = Callable[[dict[str, Any], Any, _Send], Awaitable[None]]
_CLOSE = (b"connection", b"close")


class AsyncioDrain(LameDuck):
    """Everything happens in callbacks of ``loop``, which ``arm`` must set."""

    loop: Any

    def run(self) -> None:
        safely(self._tick)

    def _tick(self) -> None:
        if self.advance():
            self.loop.call_later(TICK_SECS, self._tick)
        else:
            self.resume()

    def _take_signal(self) -> None:
        react = as_handler(self.termed)
        self._before = set_handler(
            lambda signum, frame: self.loop.call_soon_threadsafe(react, signum, frame)
        )

    def resume(self) -> None:
        set_handler(self._before)
        self._before(signal.SIGTERM, None)


class AsgiDrain(AsyncioDrain):
    """Gunicorn's asgi workers. Up to 26 they never say close; 27 says it only while it stops."""

    worker: ASGIWorker

    def prepare(self) -> None:
        self.calls = Calls()
        load = self.worker.load_wsgi

        def load_wsgi() -> None:
            load()
            # Each connection remembers the application from its beginning on.
            self.worker.asgi = asking(self, self.calls.counting(self.worker.asgi))

        self.worker.load_wsgi = load_wsgi

    def arm(self) -> None:
        self.loop = self.worker.loop
        self.loop.add_signal_handler(signal.SIGTERM, safely, self.termed)

    def resume(self) -> None:
        self.loop.add_signal_handler(signal.SIGTERM, self.worker.handle_exit_signal)
        self.worker.handle_exit_signal()

    def ask_to_close(self) -> None:
        pass  # the application that ``prepare`` has put around theirs does, once we are lame

    def connections(self) -> int:
        return int(self.worker.nr_conns)

    def stop_accepting(self) -> None:
        _stop_accepting(self.loop, self.worker.servers)

    def busy(self) -> bool:
        return self.calls.count > 0

    def say_goodbye(self) -> None:
        self._goodbyes = [
            self.loop.create_task(_close_websocket(send)) for send in self.calls.websockets
        ]


class UvicornDrain(AsyncioDrain):
    """Uvicorn's workers close what is idle at once, also a connection not yet read from."""

    def arm(self) -> None:
        import asyncio

        # The handler is a method of the server, which the worker does not keep anywhere else.
        self._server: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if hasattr(self._server, "server_state"):
            self.loop = asyncio.get_running_loop()
            self._take_signal()

    def ask_to_close(self) -> None:
        state, config = self._server.server_state, self._server.config
        config.loaded_app = asking(self, config.loaded_app)
        for connection in state.connections:
            connection.app = config.loaded_app
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and cycle.scope["http_version"] == "1.1":
                cycle.default_headers = [*cycle.default_headers, _CLOSE]

    def connections(self) -> int:
        return len(self._server.server_state.connections)

    def stop_accepting(self) -> None:
        _stop_accepting(self.loop, self._server.servers)

    def busy(self) -> bool:
        # Websockets are told 1012 by uvicorn itself, once it stops.
        return bool(self._server.server_state.tasks)


class TornadoDrain(AsyncioDrain):
    """Gunicorn's tornado workers stop their loop within 2 s, with whatever requests it has."""

    worker: TornadoWorker
    _upgraded: list[tuple[Any, Any]] | None = None

    def arm(self) -> None:
        self.loop = self.worker.ioloop.asyncio_loop
        self._take_signal()

    def ask_to_close(self) -> None:
        self.worker.server.conn_params.no_keep_alive = True

    def connections(self) -> int:
        return len(self.worker.server._connections)

    def stop_accepting(self) -> None:
        self.worker.server.stop()

    def busy(self) -> bool:
        # A connection waits for its next request in a read; none is under way while one is served.
        return any(not one.stream.reading() for one in self.worker.server._connections) or any(
            not stream.closed() for _, stream in self._websockets()
        )

    def say_goodbye(self) -> None:
        for handler, _ in self._websockets():
            safely(handler.close, RESTARTS, "the server restarts")

    def _websockets(self) -> list[tuple[Any, Any]]:
        """Handlers and their streams. The server forgets a connection that is upgraded."""
        websocket = sys.modules.get("tornado.websocket")
        if websocket is None:
            return []
        if self._upgraded is None:
            # Nothing else has them all. It is done once, after the last was accepted.
            self._upgraded = [
                (one, one.ws_connection.stream)
                for one in gc.get_objects()
                if issubclass(type(one), websocket.WebSocketHandler)
                and getattr(one, "ws_connection", None) is not None
            ]
        return self._upgraded


class Calls:
    """The requests and websockets that an ASGI application is at."""

    def __init__(self) -> None:
        self.count = 0
        self.websockets: list[_Send] = []

    def counting(self, app: _App) -> _App:
        """``app``, whose calls are counted."""

        async def counted(scope: dict[str, Any], receive: Any, send: _Send) -> None:
            if scope["type"] == "lifespan":
                return await app(scope, receive, send)
            websocket = scope["type"] == "websocket"
            self.count += 1
            if websocket:
                self.websockets.append(send)
            try:
                return await app(scope, receive, send)
            finally:
                self.count -= 1
                if websocket:
                    self.websockets.remove(send)

        return counted


async def _close_websocket(send: _Send) -> None:
    with suppress(Exception):
        await send({"type": "websocket.close", "code": RESTARTS, "reason": "the server restarts"})


def asking(drain: LameDuck, app: _App) -> _App:
    """``app``, whose HTTP/1 answers ask to close the connection once the worker is lame."""

    # Not a coroutine itself: a request that comes before costs the call of a function.
    def asks(scope: dict[str, Any], receive: Any, send: _Send) -> Awaitable[None]:
        if drain.lame and scope["type"] == "http" and scope["http_version"] < "2":
            send = _closing(send)
        return app(scope, receive, send)

    return asks


def _closing(send: _Send) -> _Send:
    async def closing(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [
                header
                for header in message.get("headers", ())
                if header[0].lower() not in (b"connection", "connection")
            ]
            message = {**message, "headers": [*headers, _CLOSE]}
        await send(message)

    return closing


def _stop_accepting(loop: Any, servers: Iterable[Any]) -> None:
    """Stop accepting, but finish what is half accepted.

    An asyncio server that is closed cannot do that (python/cpython#109564), so it is left open
    for its owner to close.
    """
    for server in servers:
        for sock in server.sockets:
            if not loop.remove_reader(sock.fileno()):
                server.close()  # of another kind of loop, which has no such trouble
                break
