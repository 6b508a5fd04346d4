"""What a worker has answered: how many requests, and how many of them with 5xx or an exception.

Only while a rollout watches: a worker counts nothing, and no request costs anything, else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any


class RequestCounter:
    """One for a worker, in its own process."""

    __slots__ = ("errors", "requests")

    def __init__(self) -> None:
        self.requests = self.errors = 0

    def answered(self, status: int) -> None:
        self.requests += 1
        if status >= 500:
            self.errors += 1


def counting(
    counter: RequestCounter, application: Callable[..., Awaitable[None]]
) -> Callable[..., Awaitable[None]]:
    """Wrap an ASGI ``application`` so that its answers to HTTP requests are counted."""

    def counted(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] != "http":
            return application(scope, receive, send)
        return _count(counter, application, scope, receive, send)

    return counted


async def _count(
    counter: RequestCounter,
    application: Callable[..., Awaitable[None]],
    scope: Any,
    receive: Any,
    send: Callable[[Any], Awaitable[None]],
) -> None:
    status = 500  # what a server answers where the application answers nothing

    async def sending(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await application(scope, receive, sending)
    except Exception:
        status = 500
        raise
    finally:
        counter.answered(status)


def request_answered(counter: RequestCounter, resp: Any) -> None:
    """Count what Gunicorn's own WSGI workers give to ``post_request`` for each request."""
    # It is set at start_response; an application that raised before has set none.
    status = getattr(resp, "status", None)
    counter.answered(500 if status is None or str(status)[:1] == "5" else 200)
