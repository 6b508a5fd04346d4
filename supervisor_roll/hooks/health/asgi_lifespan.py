"""An ASGI worker's start-up, seen from between its server and its application.

Which server keeps what where, read in Gunicorn 24.0 to 27.0 and uvicorn 0.54:
Gunicorn's own ASGIWorker calls ``worker.asgi`` for the lifespan and looks it up again for each
connection; uvicorn's worker hands ``worker.wsgi`` to its Config, whose ``load`` makes
``loaded_app`` of it, which likewise serves the lifespan first and then each connection. So the
LifespanInterceptor stands there until it is called for the lifespan, and no request ever passes it.

The server waits for the answer to ``lifespan.startup`` before it accepts, and we hold that
answer back while the health check has not passed. It can also be a refusal. A server
serves an application all the same that raises instead, which means no lifespan.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.health.asgi import Application, Message, Receive, Send, call_asgi
from supervisor_roll.hooks.health.asyncio_checker import AsyncioChecker
from supervisor_roll.hooks.health.check import Check, passed
from supervisor_roll.hooks.health.checker import StartupGate
from supervisor_roll.hooks.health.request_counts import RequestCounter, counting
from supervisor_roll.hooks.safely import log

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker

# Gunicorn's own worker gives a start-up 30 s, and then serves as if there had been none.
GASGI_STARTUP_SECS = 29.0
# A start-up that lasts when its worker is told to leave may take so long to end. Its server
# would wait for it, until the worker is killed.
TERMED_SECS, _STEP_SECS = 2.0, 0.25
COMPLETE, FAILED = "lifespan.startup.complete", "lifespan.startup.failed"


class StartupFailed(Exception):
    """The application's start-up failed, or it was not fit to serve while there was time."""


class AsgiChecker(AsyncioChecker):
    """An ASGI application, in Gunicorn's own worker or in uvicorn's."""

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        self._own = hasattr(worker, "asgi")  # Gunicorn's own; else uvicorn's
        self._state: dict[str, Any] = {}
        self.raised: Exception | None = None  # out of the application's lifespan
        self._uncounted: Any = None
        self._check: Check | None = None
        self._gate: StartupGate | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._startup = ExitStack()  # what is undone once it has ended

    def _ask(self, check: Check) -> Any:
        application = self._worker.asgi if self._own else self._worker.config.loaded_app
        return call_asgi(application, check, self._state)

    def before_accept(self, check: Check | None, gate: StartupGate) -> None:
        self._check, self._gate = check, gate
        worker = self._worker
        if self._own:
            if getattr(worker.cfg, "asgi_lifespan", "auto") != "off":
                self._stand_before(worker, "asgi")
        elif worker.config.lifespan != "off":
            # Only when it is loaded: uvicorn looks at the bare application for what it is.
            load = worker.config.load

            def loading() -> None:
                load()
                self._stand_before(worker.config, "loaded_app")

            worker.config.load = loading
        run = worker.run

        def running() -> None:
            try:
                run()
            except SystemExit as left:
                self._leave()
                # The status is the server's, and it halts a first start: only its cause is ours.
                raise left from self._reason()
            self._leave()

        worker.run = running

    def count(self, counter: RequestCounter | None) -> None:
        """Wrap the application, which both servers look up for each connection."""
        holder, name = (self._worker, "asgi") if self._own else (self._worker.config, "loaded_app")
        if counter is not None and self._uncounted is None:
            self._uncounted = getattr(holder, name)
            setattr(holder, name, counting(counter, self._uncounted))
        elif counter is None and self._uncounted is not None:
            setattr(holder, name, self._uncounted)
            self._uncounted = None

    def _stand_before(self, holder: Any, name: str) -> None:
        application = getattr(holder, name)
        setattr(
            holder,
            name,
            LifespanInterceptor(application, self, lambda: setattr(holder, name, application)),
        )

    def _leave(self) -> None:
        """Say why the server's run has ended, if it was for us."""
        if not self.leaves:
            return
        if not self.failure:
            raise SystemExit(0)
        raise self._failed() from None

    def _reason(self) -> Exception | None:
        """Why the server would not serve the application, as far as that has said it."""
        return self._failed() if self.failure else self.raised

    def _failed(self) -> StartupFailed:
        *above, last = self.failure.splitlines()
        # The message of some is a whole traceback, whose last line is what says most.
        error = StartupFailed(last)
        if above:
            # As add_note does from Python 3.11 on; 3.10 does not print them.
            error.__notes__ = ["\n".join(above)]  # type: ignore[attr-defined]
        return error

    # ---- what the LifespanInterceptor calls ----

    def starting(self, state: dict[str, Any]) -> None:
        """Begin: the server has called the application for its lifespan."""
        self._state = state
        self._startup.enter_context(_term_noticed(self._worker))
        watch = asyncio.get_running_loop().create_task(self._cut_short(asyncio.current_task()))
        self._startup.callback(watch.cancel)
        if self._own:
            self._limit = asyncio.get_running_loop().call_later(GASGI_STARTUP_SECS, self._too_slow)

    async def started(self) -> None:
        """Hold an application that could serve while its check has not passed."""
        if self._check is not None and self._gate is not None and not self.leaves:
            await self.hold(self._check, self._gate)
            if self._gate.leaving and not self.leaves:
                self._quit()
        self.settled()

    def settled(self) -> None:
        """Clean up after the start-up, however it ended, before the server goes on."""
        self._startup.close()
        if self._limit is not None:
            self._limit.cancel()

    def failed(self, why: str) -> None:
        """Note that the start-up failed: never ready, and the worker leaves if that halts nothing.

        Gunicorn 24 to 26 serve such an application all the same. At an arbiter's first start
        that stays as it is, but such a worker never says that it is ready.
        """
        self.settled()
        self.failure = why.strip()
        if self._gate is not None and self._gate.may_fail:
            self._quit()
        else:
            log.error("supervisor_roll: this worker will not be ready: %s", self.failure)

    async def _cut_short(self, startup: asyncio.Task[Any] | None) -> None:
        """End a start-up that lasts when the worker has been told to leave."""
        while self._worker.alive:
            await asyncio.sleep(_STEP_SECS)
        await asyncio.sleep(TERMED_SECS)
        log.warning("supervisor_roll: it is told to stop: its start-up is cancelled")
        self._quit()
        if startup is not None:
            startup.cancel()

    def _too_slow(self) -> None:
        why = f"not started up within {GASGI_STARTUP_SECS:g} s"
        if self.status and not passed(self.status):
            why = f"its health check has not passed within {GASGI_STARTUP_SECS:g} s: {self.status}"
        self.failed(f"{why} (Gunicorn's own asgi worker waits for 30 s)")

    def _quit(self) -> None:
        self.leaves = True
        if self._own:
            # Whatever it makes of the answer that it gets: without a socket it does not serve.
            self._worker.sockets = []


class LifespanInterceptor:
    """The application, as its server calls it for its lifespan."""

    def __init__(
        self, application: Application, checker: AsgiChecker, step_aside: Callable[[], None]
    ) -> None:
        self.application = application
        self._checker = checker
        self._step_aside = step_aside
        self._answered = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self._step_aside()
        if scope["type"] != "lifespan":
            await self.application(scope, receive, send)
            return
        self._checker.starting(scope.get("state", {}))
        try:
            await self._live(scope, receive, send)
        except asyncio.CancelledError:
            if not self._checker.leaves:
                raise
        finally:
            self._checker.settled()
            if self._checker.leaves:
                why = self._checker.failure or "it was told to stop before it had started"
                await send({"type": FAILED, "message": why})

    async def _live(self, scope: Any, receive: Receive, send: Send) -> None:
        checker = self._checker

        async def send_seen(message: Message) -> None:
            if not self._answered and message["type"] in (COMPLETE, FAILED):
                self._answered = True
                if message["type"] == FAILED:
                    checker.failed("lifespan.startup.failed: " + str(message.get("message", "")))
                else:
                    await checker.started()
            # One that leaves has started in its own eyes, but never in the server's.
            if not checker.leaves:
                await send(message)

        async def receive_seen() -> Message:
            if self._answered and checker.leaves:
                return {"type": "lifespan.shutdown"}
            return await receive()

        try:
            await self.application(scope, receive_seen, send_seen)
        except Exception as error:
            # It knows no lifespan, or its start-up went wrong: that, nobody can tell apart.
            checker.raised = error
            if not self._answered:
                self._answered = True
                await checker.started()
            raise
        if not self._answered:
            self._answered = True
            await checker.started()


@contextmanager
def _term_noticed(worker: Worker) -> Iterator[None]:
    """TERM makes the worker's ``alive`` False. uvicorn's server keeps it to itself."""
    before: Any = signal.getsignal(signal.SIGTERM)

    def leave(signum: int, frame: FrameType | None) -> None:
        worker.alive = False
        if callable(before):
            before(signum, frame)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
