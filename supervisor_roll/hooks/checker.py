"""How a worker's application is asked, by worker class.

| class | the first checks, before the first accept | later checks |
| --- | --- | --- |
| sync, gthread, gevent, tornado with WSGI | in ``post_worker_init`` | in the heartbeat |
| asgi, uvicorn | when the application answers its lifespan start-up | a task on its loop |
| tornado, natively | in ``post_worker_init``, on its loop, run for that long | a task on its loop |
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from supervisor_roll.hooks.counters import Tally, request_answered
from supervisor_roll.hooks.health import Check, call_wsgi, homes_of, is_tornado, is_wsgi


class Boot(Protocol):
    """What a checker asks of the worker's Voice before the worker accepts."""

    @property
    def leaving(self) -> bool:
        """The worker has been asked to leave."""

    @property
    def may_fail(self) -> bool:
        """A failed boot would not halt the arbiter: the guard is up."""

    def judge(self, status: str) -> float | None:
        """What comes of a check: seconds until it is made again, or None to go on and serve."""


class Checker(Protocol):
    """The application of one worker, as it can be asked."""

    status: str  # of the last check; empty before there is one
    busy: bool  # a check is under way
    failure: str  # why the application says that it cannot serve; empty if it does not

    def before_accept(self, check: Check | None, boot: Boot) -> None:
        """Make the first checks before the worker accepts, for as long as ``boot`` says.

        Called in ``post_worker_init``. Returns at once where only the server can say when.
        """

    def start(self, check: Check, then: Callable[[], None]) -> None:
        """Make a check in the worker that serves, and call ``then`` once its status is there.

        Called in a heartbeat. Where the worker has a loop this only starts it.
        """

    def count(self, tally: Tally | None) -> None:
        """Count what is answered in ``tally`` from now on; None: not any more."""

    def later(self, secs: float, call: Callable[[], None]) -> None:
        """Call ``call`` in ``secs``, where heartbeats may be rarer than that."""


class WsgiChecker:
    """A WSGI application is simply called: in the main thread, which is then ours."""

    busy = False
    failure = ""

    def __init__(self, worker: Any) -> None:
        self.status = ""
        self._worker = worker
        self._theirs: Callable[..., None] | None = None

    def before_accept(self, check: Check | None, boot: Boot) -> None:
        while check is not None and not boot.leaving:
            self.status = call_wsgi(self._worker, check)
            wait = boot.judge(self.status)
            if wait is None:
                return
            time.sleep(wait)

    def start(self, check: Check, then: Callable[[], None]) -> None:
        self.status = call_wsgi(self._worker, check)
        then()

    def count(self, tally: Tally | None) -> None:
        """Gunicorn's own WSGI workers call ``post_request``, the user's or a default, for each.

        It is put back after the watch, so that it costs nothing else.
        """
        setting = self._worker.cfg.settings["post_request"]
        if tally is not None and self._theirs is None:
            theirs = self._theirs = setting.get()

            def counted(worker: Any, req: Any, environ: Any, resp: Any) -> None:
                request_answered(tally, resp)
                theirs(worker, req, environ, resp)

            setting.value = counted
        elif tally is None and self._theirs is not None:
            setting.value, self._theirs = self._theirs, None

    def later(self, secs: float, call: Callable[[], None]) -> None:
        """Heartbeats come each second at least."""


def checker_for(worker: Any) -> Checker | None:
    """The checker for a worker that has loaded its application; None if its kind is unknown."""
    # Imported only where they are used: asyncio takes some MiB, which a sync worker can do without.
    homes = homes_of(worker)
    if hasattr(worker, "asgi") or (
        homes & {"uvicorn", "uvicorn_worker"} and hasattr(getattr(worker, "config", None), "load")
    ):
        from supervisor_roll.hooks.lifespan import AsgiChecker

        return AsgiChecker(worker)
    if is_tornado(getattr(worker, "wsgi", None)):
        from supervisor_roll.hooks.tornado import TornadoChecker, is_served

        return TornadoChecker(worker) if is_served() else None
    return WsgiChecker(worker) if is_wsgi(worker) else None
