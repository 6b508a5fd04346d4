"""The health check of an ASGI application: one request, made by us in the server's stead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from supervisor_roll.hooks.health.check import Check, raised, status_line

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


async def call_asgi(application: Application, check: Check, state: dict[str, Any]) -> str:
    """Ask the ASGI application and return its status line, or in words why there is none.

    ``state`` is its lifespan's. One that blocks its loop cannot be cut off by us.
    """
    response = _Response()
    call = asyncio.ensure_future(application(_scope(check, state), response.receive, response.send))
    ended = asyncio.ensure_future(response.ended.wait())
    try:
        await asyncio.wait(
            {call, ended}, timeout=check.timeout_secs, return_when=asyncio.FIRST_COMPLETED
        )
        if response.ended.is_set():
            # What it does after its response is its own affair, and an error there no answer.
            call.add_done_callback(_retrieved)
            return status_line(response.status)
        if not call.done():
            call.cancel()
            call.add_done_callback(_retrieved)
            return check.too_late()
        if call.cancelled():
            return "cancelled itself"
        error = call.exception()
        if error is not None:
            return raised(error)
        return "returned without a complete response"
    finally:
        ended.cancel()
        if not call.done() and not response.ended.is_set():
            call.cancel()


class _Response:
    """The two callables of one request, and the response that comes of them."""

    def __init__(self) -> None:
        self.status = 0
        self.ended = asyncio.Event()
        self._asked = False

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
        elif message["type"] == "http.response.body":
            if not self.status:
                raise RuntimeError("http.response.body before http.response.start")
            if not message.get("more_body", False):
                self.ended.set()


def _retrieved(call: asyncio.Future[Any]) -> None:
    """Take note of an exception, which the loop would else log as never retrieved."""
    if not call.cancelled():
        call.exception()


def _scope(check: Check, state: dict[str, Any]) -> MutableMapping[str, Any]:
    path, _, query = check.path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": check.scheme,
        "path": unquote(path),
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in check.all_headers
        ],
        "client": ("127.0.0.1", 0),
        "server": check.server,
        # Shallow, as servers do: what a request adds there stays in it.
        "state": state.copy(),
        "extensions": {},
    }
