"""A WSGI application without a framework."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from urllib.parse import parse_qs

import release


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
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
