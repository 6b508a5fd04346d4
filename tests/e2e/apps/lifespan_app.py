"""The ASGI application with a start-up that does something, as ``lifespan.json`` says.

Keys of that file, which may be missing: ``secs`` the start-up takes, and ``end`` how it ends:
"complete", "failed", or "raise", as an application does that knows no lifespan.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asgi_app
import release

_FILE = Path(__file__).resolve().parent / "lifespan.json"
_WRITTEN = json.loads(_FILE.read_text()) if _FILE.exists() else {}
SECS, END = _WRITTEN.get("secs", 0.0), _WRITTEN.get("end", "complete")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(scope, receive, send)
        return
    if END == "complete" and scope["state"]["database"] != f"open for {release.NAME}":
        raise RuntimeError("the start-up's state is not there")
    await asgi_app.app(scope, receive, send)


async def _live(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if END == "raise":
        raise NotImplementedError("no lifespan here")
    await receive()
    await asyncio.sleep(SECS)
    if END == "failed":
        await send({"type": "lifespan.startup.failed", "message": "the database is not there"})
        return
    scope["state"]["database"] = f"open for {release.NAME}"
    print(f"release {release.NAME} has started up", flush=True)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print(f"release {release.NAME} has shut down", flush=True)
    await send({"type": "lifespan.shutdown.complete"})
