"""Gunicorn's own ``max_requests`` in one worker, as each worker class has it."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker

# Those that count in ``worker.nr``, and compare that with ``worker.max_requests`` each time.
_COUNTING = ("sync", "gthread", "base_async", "gtornado", "gasgi")


class RequestLimit:
    """After how many requests Gunicorn ends the worker; it can be lifted, and put back.

    No code of ours runs for a request: Gunicorn keeps the count anyway.
    """

    def __init__(self, worker: Worker, server: Any = None) -> None:
        self._worker, self._server = worker, server
        self.requests = worker.max_requests  # with the jitter

    @classmethod
    def of(cls, worker: Worker) -> RequestLimit | None:
        """Return the limit of a worker that begins to serve; None if it has none, or hides it.

        To be called before the drain takes over SIGTERM: uvicorn's server, which counts, is only to
        be found as the owner of the signal's handler.
        """
        if getattr(worker, "max_requests", sys.maxsize) == sys.maxsize:
            return None
        server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if hasattr(server, "server_state"):
            return cls(worker, server)
        modules = {base.__module__ for base in type(worker).__mro__}
        known = any(f"gunicorn.workers.{name}" in modules for name in _COUNTING)
        return cls(worker) if known else None

    @property
    def answered(self) -> int:
        """How many requests count by now."""
        if self._server is not None:
            return int(self._server.server_state.total_requests)
        return self._worker.nr

    def lift(self) -> None:
        """Let the worker serve on past its limit."""
        self._set(sys.maxsize)

    def put_back(self) -> None:
        """Let Gunicorn end the worker: with the next request, if it is past its limit."""
        self._set(self.requests)

    def _set(self, requests: int) -> None:
        if self._server is None:
            self._worker.max_requests = requests
            return
        self._server.config.limit_max_requests = requests
        # Some versions read it once, and remember it.
        vars(self._server).pop("limit_max_requests", None)
