"""Which checker and which application a worker class has."""

from __future__ import annotations

import sys
from typing import Any

from supervisor_roll.hooks.health.checker import Checker
from supervisor_roll.hooks.health.wsgi import WsgiChecker

# Worker classes of others whose applications, callable or not, are no WSGI.
_NO_WSGI = frozenset({"uvicorn", "uvicorn_worker", "aiohttp"})


def is_wsgi(worker: Any) -> bool:
    """Whether the worker's application can be called as WSGI.

    uvicorn's workers keep an ASGI application in ``worker.wsgi``, and what Tornado's HTTP server
    takes itself cannot be called with an environ.
    """
    application = getattr(worker, "wsgi", None)
    return callable(application) and not is_tornado(application) and not homes_of(worker) & _NO_WSGI


def is_tornado(application: Any) -> bool:
    """Whether it is what Tornado's HTTP server takes itself."""
    natives = [("tornado.web", "Application"), ("tornado.wsgi", "WSGIContainer")]
    return any(
        isinstance(application, getattr(sys.modules.get(module), name, ()))
        for module, name in natives
    )


def homes_of(worker: Any) -> set[str]:
    """The packages that the worker's class and its bases are from."""
    return {base.__module__.partition(".")[0] for base in type(worker).__mro__}


def checker_for(worker: Any) -> Checker | None:
    """The checker for a worker that has loaded its application; None if its kind is unknown."""
    # Imported only where they are used: asyncio takes some MiB, which a sync worker can do without.
    homes = homes_of(worker)
    if hasattr(worker, "asgi") or (
        homes & {"uvicorn", "uvicorn_worker"} and hasattr(getattr(worker, "config", None), "load")
    ):
        from supervisor_roll.hooks.health.asgi_lifespan import AsgiChecker

        return AsgiChecker(worker)
    if is_tornado(getattr(worker, "wsgi", None)):
        from supervisor_roll.hooks.health.tornado import TornadoChecker, is_served

        return TornadoChecker(worker) if is_served() else None
    return WsgiChecker(worker) if is_wsgi(worker) else None
