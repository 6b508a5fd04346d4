"""The health check of a native Tornado application: one real request, over a socket pair.

The loop that will serve it is run for the check alone, before Gunicorn starts it and lets
it accept. What answers is an HTTPServer of our own around the same application, so that the
worker's ``max_requests`` does not count what we ask.

Up to 20.1 Gunicorn takes a native application for WSGI, and each request to it fails.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

from supervisor_roll.hooks.health.asyncio_checker import AsyncioChecker
from supervisor_roll.hooks.health.check import Check, raised
from supervisor_roll.hooks.health.checker import StartupGate
from supervisor_roll.hooks.health.request_counts import RequestCounter


def is_served() -> bool:
    """Whether this Gunicorn serves a native application, and on an asyncio loop."""
    from gunicorn import version_info

    return bool(version_info[0] >= 21 and sys.modules["tornado"].version_info[0] >= 6)


class TornadoChecker(AsyncioChecker):
    """An application that Tornado's own HTTP server takes."""

    def before_accept(self, check: Check | None, gate: StartupGate) -> None:
        if check is not None:
            # The one that the worker's run() will find as the current one.
            loop = sys.modules["tornado.ioloop"].IOLoop.current()
            loop.run_sync(lambda: self.hold(check, gate))

    def count(self, counter: RequestCounter | None) -> None:
        """Tornado calls ``log_request`` of the application for each request that has ended."""
        application = self._worker.wsgi
        application.__dict__.pop("log_request", None)
        if counter is not None:
            log_request = application.log_request

            def counted(handler: Any) -> None:
                counter.answered(handler.get_status())
                log_request(handler)

            application.log_request = counted

    async def _ask(self, check: Check) -> str:
        try:
            return await asyncio.wait_for(self._request(check), check.timeout_secs)
        except asyncio.TimeoutError:
            return check.too_late()
        except OSError as error:
            return raised(error)

    async def _request(self, check: Check) -> str:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        server = sys.modules["tornado.httpserver"].HTTPServer(self._worker.wsgi, xheaders=True)
        stream = sys.modules["tornado.iostream"].IOStream(theirs)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            server.handle_stream(stream, ("127.0.0.1", 0))
            writer.write(_request_text(check))
            version, _, status = (await reader.readline()).decode("latin-1").partition(" ")
            while await reader.read(65536):
                pass
            return status.strip() if version else "closed without an answer"
        finally:
            writer.close()
            stream.close()


def _request_text(check: Check) -> bytes:
    headers = [*check.all_headers, ("Connection", "close"), ("X-Real-Ip", "127.0.0.1")]
    lines = [f"GET {check.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")
