"""The application that every peer serves: each request holds its worker for a while.

It is copied into each release's folder, with ``release.json`` beside it, and says for itself when
it has booted: a file with its pid for a name, so that every peer's workers are counted alike.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

# Resolved while booting: once the symlink leads elsewhere, this release is still this one.
_WRITTEN = json.loads(Path(__file__).resolve().with_name("release.json").read_text())
_STATUS = {200: "200 OK", 500: "500 Internal Server Error"}[_WRITTEN["status"]]
_HEADERS = [("Content-Type", "application/json")]


def _boot(secs: float) -> None:
    """Take so long, or so much of a processor where the boot is bound by that."""
    if _WRITTEN["boot"] == "cpu":
        began = time.thread_time()
        while time.thread_time() - began < secs:
            pass
    else:
        time.sleep(secs)
    if _WRITTEN["boot"] == "raise":
        raise ImportError("this release lacks a module")
    marks = Path(_WRITTEN["marks"])
    (marks / f".{os.getpid()}").write_text(_STATUS[:3])
    (marks / f".{os.getpid()}").rename(marks / str(os.getpid()))


def _serve() -> bytes:
    # It blocks, in the ASGI application too: a worker serves one request at a time, and so the
    # capacity of a peer is known without a measurement.
    time.sleep(_WRITTEN["hold_secs"])
    return json.dumps({"release": _WRITTEN["release"], "pid": os.getpid()}).encode()


def app(environ: dict, start_response: Callable) -> list[bytes]:
    body = _serve()
    start_response(_STATUS, [*_HEADERS, ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict, receive: Callable, send: Callable) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{message['type']}.complete"})
        return
    body = _serve()
    headers = [*_HEADERS, ("Content-Length", str(len(body)))]
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": int(_STATUS[:3]), "headers": encoded})
    await send({"type": "http.response.body", "body": body})


_boot(_WRITTEN["boot_secs"])
