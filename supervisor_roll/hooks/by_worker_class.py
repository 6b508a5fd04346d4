"""What each worker class needs: how it is checked, answers the status page, and drains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from supervisor_roll.hooks.drain.lame_duck import Allowed, LameDuck
from supervisor_roll.hooks.health.checker import Checker
from supervisor_roll.hooks.health.wsgi import WsgiChecker
from supervisor_roll.hooks.status_page import StatusPage

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker

# By the module of a worker's class or of one that it inherits from, or the package of that
# module. Sync workers, and those of classes that nobody here knows, have no kind.
_KINDS = {
    "gunicorn.workers.gthread": "gthread",
    "gunicorn.workers.ggevent": "gevent",
    "gunicorn.workers.geventlet": "gevent",
    "gunicorn.workers.gasgi": "asgi",
    "gunicorn.workers.gtornado": "tornado",
    "uvicorn": "uvicorn",
    "uvicorn_worker": "uvicorn",
    "aiohttp": "aiohttp",
}
_DRAINED = ("gthread", "gevent", "asgi", "tornado", "uvicorn")

# Imported only where they are used: asyncio takes some MiB, which a sync worker can do without.


def checker_for(worker: Worker) -> Checker | None:
    """Return the checker for a worker that has loaded its application; None if nothing can ask it.

    uvicorn's workers keep an ASGI application in ``worker.wsgi``, and what Tornado's HTTP server
    takes itself cannot be called with an environ.
    """
    kind = _kind_of(worker)
    if hasattr(worker, "asgi") or kind == "uvicorn":
        from supervisor_roll.hooks.health.asgi_lifespan import AsgiChecker

        return AsgiChecker(worker)
    application = getattr(worker, "wsgi", None)
    if _is_tornado(application):
        from supervisor_roll.hooks.health.tornado import TornadoChecker, is_served

        return TornadoChecker(worker) if is_served() else None
    return WsgiChecker(worker) if callable(application) and kind != "aiohttp" else None


def serve_status(worker: Worker, page: StatusPage) -> None:
    """Have the worker's application, which is loaded, answer the status page."""
    kind, holder = _kind_of(worker), cast("Any", worker)
    application: Any = getattr(worker, "wsgi", None)
    if hasattr(worker, "asgi"):
        holder.asgi = page.asgi(holder.asgi)
    elif kind == "uvicorn":
        _once_loaded(holder.config, page)
    elif _is_tornado(application):
        if hasattr(application, "default_router"):
            page.tornado(application)
        else:
            application.wsgi_application = page.wsgi(application.wsgi_application)
    elif callable(application) and kind != "aiohttp":
        holder.wsgi = page.wsgi(application)


def _once_loaded(config: Any, page: StatusPage) -> None:
    """Wrap what uvicorn serves, which it makes of the bare application once it runs."""
    if config.loaded:
        config.loaded_app = page.asgi(config.loaded_app)
        return
    load = config.load

    def loading() -> None:
        load()
        config.loaded_app = page.asgi(config.loaded_app)

    config.load = loading


def has_drain(worker: Worker) -> bool:
    """Whether there is a drain for workers of its class, and time for it."""
    return worker.cfg.graceful_timeout > 0 and _kind_of(worker) in _DRAINED


def drain_for(worker: Worker, allowed: Allowed) -> LameDuck | None:
    """Return the drain for a worker that was just forked; None if its class needs none."""
    if not has_drain(worker):
        return None
    match _kind_of(worker):
        case "gthread":
            from supervisor_roll.hooks.drain.gthread import GthreadDrain

            return GthreadDrain(worker, allowed)
        case "gevent":
            from supervisor_roll.hooks.drain.gevent import GeventDrain

            return GeventDrain(worker, allowed)
        case "asgi":
            from supervisor_roll.hooks.drain.asyncio_workers import AsgiDrain

            return AsgiDrain(worker, allowed)
        case "tornado":
            from supervisor_roll.hooks.drain.asyncio_workers import TornadoDrain

            return TornadoDrain(worker, allowed)
        case "uvicorn":
            from supervisor_roll.hooks.drain.asyncio_workers import UvicornDrain

            return UvicornDrain(worker, allowed)
    return None


def beat_at_once(worker: Worker) -> None:
    """Have it beat as soon as it serves, where its class would first beat a second later.

    One of Tornado's may well have come to its ``max_requests`` by then, never having been ready.
    """
    ioloop = sys.modules.get("tornado.ioloop")
    if ioloop is not None and _kind_of(worker) == "tornado":
        watchdog: Callable[[], None] = getattr(worker, "watchdog")  # noqa: B009 - only of this class
        # The loop that the worker's run() will find as the current one.
        ioloop.IOLoop.current().add_callback(watchdog)


def _kind_of(worker: Worker) -> str:
    for base in type(worker).__mro__:
        module = base.__module__
        kind = _KINDS.get(module) or _KINDS.get(module.partition(".")[0])
        if kind:
            return kind
    return ""


def _is_tornado(application: Any) -> bool:
    """Whether it is what Tornado's HTTP server takes itself."""
    if "tornado" not in sys.modules:
        return False
    natives = [("tornado.web", "Application"), ("tornado.wsgi", "WSGIContainer")]
    return any(
        isinstance(application, getattr(sys.modules.get(module), name, ()))
        for module, name in natives
    )
