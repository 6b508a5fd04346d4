"""The same application as ASGI, without a framework."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import release


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    elif scope["path"] == "/stream":
        await _stream(scope, send)
    elif scope["type"] == "http":
        await _answer(scope, send)


async def _live(receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(scope: dict[str, Any], send: Callable) -> None:
    status = 200
    if scope["path"] == "/_status":
        status = release.health_status()
    elif scope["path"] == "/slow":
        secs = float(parse_qs(scope["query_string"].decode()).get("secs", ["0"])[0])
        await asyncio.sleep(min(secs, 60.0))
    elif scope["path"] != "/":
        status = 404
    body = json.dumps(release.answer()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _echo(receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def _stream(scope: dict[str, Any], send: Callable) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for second in range(int(parse_qs(scope["query_string"].decode())["secs"][0])):
        event = f"data: {second}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(1)
    await send({"type": "http.response.body", "body": b"data: end\n\n"})
