"""A WSGI application without a framework."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from urllib.parse import parse_qs

import release


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return _stream(environ["QUERY_STRING"])
    status = 200
    if path == "/_status":
        status = release.health_status()
    elif path == "/slow":
        release.doze(parse_qs(environ["QUERY_STRING"]).get("secs", ["0"])[0])
    elif path != "/":
        status = 404
    body = json.dumps(release.answer()).encode()
    start_response(
        f"{status} {HTTPStatus(status).phrase}",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
    )
    return [body]


def _stream(query: str) -> Iterator[bytes]:
    for second in range(int(parse_qs(query).get("secs", ["1"])[0])):
        yield f"data: {second}\n\n".encode()
        release.doze("1")
    yield b"data: end\n\n"
