"""The same application in Flask."""

from __future__ import annotations

import release
from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def index() -> dict[str, object]:
    return release.answer()


@app.get("/_status")
def status() -> tuple[dict[str, object], int]:
    return release.answer(), release.health_status()


@app.get("/slow")
def slow() -> dict[str, object]:
    release.doze(request.args.get("secs"))
    return release.answer()
