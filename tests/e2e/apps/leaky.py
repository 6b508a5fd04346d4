"""An application each of whose requests takes REQUEST_SECS, and leaves LEAK_MIB MiB behind."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import release

_SECS = float(os.environ.get("REQUEST_SECS", "0"))
_MIB = int(os.environ.get("LEAK_MIB", "0"))
_leaked: list[bytes] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(_SECS)
    _leaked.append(b"x" * (_MIB * 2**20))  # written to, or it would take nothing
    body = json.dumps(release.answer()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
