"""What is counted of what a worker answers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from supervisor_roll.hooks.health.request_counts import RequestCounter, counting, request_answered
from supervisor_roll.hooks.health.wsgi import WsgiChecker


@pytest.mark.parametrize(
    ("status", "errors"),
    [("200 OK", 0), ("404 Not Found", 0), ("500 Oops", 1), ("503 Busy", 1), (None, 1)],
)
def test_5xx_and_answers_that_never_began_are_errors(status: str | None, errors: int) -> None:
    tally = RequestCounter()
    request_answered(tally, SimpleNamespace(status=status))
    assert (tally.requests, tally.errors) == (1, errors)


@pytest.mark.parametrize(
    ("status", "raises", "errors"),
    [(200, False, 0), (500, False, 1), (200, True, 1), (None, False, 1)],
)
def test_answers_of_an_asgi_application(status: int | None, raises: bool, errors: int) -> None:
    tally = RequestCounter()
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if status is not None:
            await send({"type": "http.response.start", "status": status})
        if raises:
            raise ValueError("as it is")

    async def send(message: Any) -> None:
        sent.append(message)

    counted = counting(tally, application)
    if raises:
        with pytest.raises(ValueError, match="as it is"):
            asyncio.run(counted({"type": "http"}, None, send))
    else:
        asyncio.run(counted({"type": "http"}, None, send))
    assert (tally.requests, tally.errors) == (1, errors)
    assert [one["status"] for one in sent] == ([] if status is None else [status])
    asyncio.run(counted({"type": "lifespan"}, None, send)) if not raises else None
    assert tally.requests == 1


def test_the_users_own_post_request_runs_beside_and_is_put_back() -> None:
    seen: list[Any] = []
    config = Config()
    config.set("post_request", lambda worker, req: seen.append(req))
    theirs = config.post_request
    checker, tally = WsgiChecker(SimpleNamespace(cfg=config)), RequestCounter()
    checker.count(tally)
    checker.count(tally)  # once is enough
    config.post_request("worker", "request", {}, SimpleNamespace(status="200 OK"))
    assert (seen, tally.requests) == (["request"], 1)
    checker.count(None)
    assert config.post_request is theirs
