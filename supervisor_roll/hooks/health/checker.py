"""How a worker's application is asked, by worker class.

| class | the first checks, before the first accept | later checks |
| --- | --- | --- |
| sync, gthread, gevent, tornado with WSGI | in ``post_worker_init`` | in the heartbeat |
| asgi, uvicorn | when the application answers its lifespan start-up | a task on its loop |
| tornado, natively | in ``post_worker_init``, on its loop, run for that long | a task on its loop |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from supervisor_roll.hooks.health.check import Check
from supervisor_roll.hooks.health.request_counts import RequestCounter


class StartupGate(Protocol):
    """What a checker asks of the worker's Readiness before the worker accepts."""

    @property
    def leaving(self) -> bool:
        """The worker has been asked to leave."""

    @property
    def may_fail(self) -> bool:
        """A failed boot would not halt the arbiter: the guard is up."""

    def judge(self, status: str) -> float | None:
        """Decide after a check: seconds until the next one, or None to go on and serve."""


class Checker(Protocol):
    """The application of one worker, as it can be asked."""

    status: str  # of the last check; empty before there is one
    busy: bool  # a check is under way
    failure: str  # why the application says that it cannot serve; empty if it does not

    def before_accept(self, check: Check | None, gate: StartupGate) -> None:
        """Make the first checks before the worker accepts, for as long as ``gate`` says.

        Called in ``post_worker_init``. Returns at once where only the server can say when.
        """

    def start(self, check: Check, then: Callable[[], None]) -> None:
        """Make a check in the worker that serves, and call ``then`` once its status is there.

        Called in a heartbeat. Where the worker has a loop this only starts it.
        """

    def count(self, counter: RequestCounter | None) -> None:
        """Count what is answered in ``counter`` from now on; None: not any more."""

    def later(self, secs: float, call: Callable[[], None]) -> None:
        """Call ``call`` in ``secs``, where heartbeats may be rarer than that."""
