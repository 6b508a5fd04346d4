"""The hooks' own page: 200, or 404 while the program is drained; all else is the application's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_roll.hooks.by_worker_class import serve_status
from supervisor_roll.hooks.shared_memory import ArbiterPage
from supervisor_roll.hooks.status_page import StatusPage


@pytest.fixture
def drained(tmp_path: Path) -> Path:
    return tmp_path / "drained"


def get(application: Any, path: str) -> tuple[str, list[bytes]]:
    lines: list[str] = []
    body = application({"PATH_INFO": path}, lambda status, headers: lines.append(status))
    return lines[0], list(body)


def plain(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 Its own", [])
    return [environ["PATH_INFO"].encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "its own"})


def sent(application: Any, **scope: Any) -> list[Any]:
    found: list[Any] = []

    async def send(message: Any) -> None:
        found.append(message.get("status", message["type"]))

    asyncio.run(application(scope, None, send))
    return found


def test_of_a_wsgi_application(drained: Path) -> None:
    worker: Any = SimpleNamespace(wsgi=plain)
    serve_status(worker, StatusPage("/_status", str(drained)))
    assert get(worker.wsgi, "/_status") == ("200 OK", [])
    drained.touch()
    assert get(worker.wsgi, "/_status") == ("404 Not Found", [])
    assert get(worker.wsgi, "/_status/") == ("200 Its own", [b"/_status/"])


def test_of_an_asgi_application(drained: Path) -> None:
    worker: Any = SimpleNamespace(asgi=asgi)
    serve_status(worker, StatusPage("/_status", str(drained)))
    assert sent(worker.asgi, type="http", path="/_status") == [200, "http.response.body"]
    drained.touch()
    assert sent(worker.asgi, type="http", path="/_status") == [404, "http.response.body"]
    for scope in ({"type": "lifespan"}, {"type": "websocket", "path": "/_status"}):
        assert sent(worker.asgi, **scope) == ["its own"]


@pytest.mark.parametrize("loaded", [False, True])
def test_of_what_uvicorn_makes_of_one(drained: Path, loaded: bool) -> None:
    worker = type("Worker", (), {"__module__": "uvicorn_worker._workers"})()
    config = SimpleNamespace(loaded=loaded, loaded_app=asgi)
    config.load = lambda: setattr(config, "loaded_app", asgi)
    worker.wsgi, worker.config = None, config
    serve_status(worker, StatusPage("/_status", str(drained)))
    if not loaded:
        config.load()
    assert sent(config.loaded_app, type="http", path="/_status")[0] == 200
    assert sent(config.loaded_app, type="http", path="/") == ["its own"]


def test_what_nobody_can_ask_is_left_alone(drained: Path) -> None:
    worker = type("Worker", (), {"__module__": "aiohttp.worker"})()
    worker.wsgi = plain
    serve_status(worker, StatusPage("/_status", str(drained)))
    assert worker.wsgi is plain


def test_workers_know_what_others_were_told() -> None:
    page = ArbiterPage()
    assert (page.status_path, page.drained_path) == ("", "")
    page.status_path, page.drained_path = "/_status", "/run/ä"
    assert (page.status_path, page.drained_path) == ("/_status", "/run/ä")
    page.status_path = "/" + "x" * 255
    assert (page.status_path, page.drained_path) == ("", "/run/ä")
    page.close()
