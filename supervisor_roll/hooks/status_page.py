"""The page that tells a load balancer's health check whether the program is in service.

Our hooks answer it in the application's stead, where ``status_path`` is set. The application is
wrapped for that: each other request costs one comparison, and nothing where it is not set.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any


class StatusPage:
    """At ``path``: 404 as long as there is a file ``drained_path``, else 200."""

    def __init__(self, path: str, drained_path: str) -> None:
        self.path, self._drained_path = path, drained_path

    @property
    def status(self) -> int:
        return 404 if os.path.lexists(self._drained_path) else 200

    def wsgi(self, application: Callable[..., Any]) -> Callable[..., Any]:
        path = self.path

        def served(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            if environ["PATH_INFO"] != path:
                return application(environ, start_response)
            line = "200 OK" if self.status == 200 else "404 Not Found"
            start_response(line, [("Content-Length", "0"), ("Cache-Control", "no-store")])
            return []

        return served

    def asgi(self, application: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        path = self.path

        def served(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
            if scope.get("path") != path or scope["type"] != "http":
                return application(scope, receive, send)
            return self._sent(send)

        return served

    async def _sent(self, send: Callable[[Any], Awaitable[None]]) -> None:
        headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def tornado(self, application: Any) -> None:
        """Route it before all that the application has."""
        page = self

        class Status(sys.modules["tornado.web"].RequestHandler):  # type: ignore[misc]
            def get(self) -> None:
                self.set_header("Cache-Control", "no-store")
                self.set_status(page.status)

            head = options = get

        routing = sys.modules["tornado.routing"]
        matches = routing.PathMatches(re.escape(self.path) + "$")
        application.default_router.rules.insert(0, routing.Rule(matches, Status))
