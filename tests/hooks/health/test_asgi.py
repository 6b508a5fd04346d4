"""The health check of an ASGI application is one proper request; what becomes of it, a status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_roll.hooks.by_worker_class import checker_for
from supervisor_roll.hooks.health.asgi import call_asgi
from supervisor_roll.hooks.health.asgi_lifespan import COMPLETE, FAILED, AsgiChecker, StartupFailed
from supervisor_roll.hooks.health.check import Check

CHECK = Check(
    "/_status?deep=1",
    "www.example.org:8443",
    (("X-Forwarded-Proto", "https"), ("Cookie", "a=b")),
    30.0,
)


def asked(application: Any, check: Check = CHECK, state: dict[str, Any] | None = None) -> str:
    return asyncio.run(call_asgi(application, check, state or {}))


async def respond(send: Any, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def test_the_request_is_what_the_settings_say() -> None:
    seen: dict[str, Any] = {}

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.update(scope, request=await receive())
        scope["state"]["mine"] = True
        await respond(send)

    state = {"database": "open"}
    assert asked(application, CHECK, state) == "200 OK"
    assert state == {"database": "open"}
    assert seen["state"]["database"] == "open"
    assert (seen["type"], seen["method"], seen["http_version"]) == ("http", "GET", "1.1")
    assert (seen["path"], seen["query_string"], seen["scheme"]) == ("/_status", b"deep=1", "https")
    assert (seen["server"], seen["client"][0]) == (("www.example.org", 8443), "127.0.0.1")
    assert seen["headers"][0] == (b"host", b"www.example.org:8443")
    assert (b"cookie", b"a=b") in seen["headers"]
    assert seen["request"] == {"type": "http.request", "body": b"", "more_body": False}


def test_who_waits_for_the_disconnect_hears_of_it_only_after_the_response() -> None:
    heard: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            await receive()
            heard.append((await receive())["type"])

        listener = asyncio.ensure_future(listen())
        await asyncio.sleep(0.01)
        assert not heard
        await respond(send, 204)
        await listener

    async def both() -> str:
        status = await call_asgi(application, CHECK, {})
        await asyncio.sleep(0.01)
        return status

    assert asyncio.run(both()) == "204 No Content"
    assert heard == ["http.disconnect"]


async def _raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("no database")


async def _raises_within(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("no database")


async def _raises_after(scope: Any, receive: Any, send: Any) -> None:
    await respond(send)
    raise ValueError("too late to matter")


async def _says_nothing(scope: Any, receive: Any, send: Any) -> None:
    pass


async def _body_first(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body"})


async def _unknown_status(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, 299)


@pytest.mark.parametrize(
    ("application", "status"),
    [
        (_raises, "raised ValueError: no database"),
        (_raises_within, "raised ValueError: no database"),
        (_raises_after, "200 OK"),
        (_says_nothing, "returned without a complete response"),
        (_body_first, "raised RuntimeError: http.response.body before http.response.start"),
        (_unknown_status, "299"),
    ],
)
def test_what_the_application_does_becomes_the_status(application: Any, status: str) -> None:
    assert asked(application) == status


def test_one_that_hangs_is_cancelled_in_time() -> None:
    ends: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    began = time.monotonic()
    assert asked(application, Check("/", "localhost", (), 0.1)) == "no answer within 0.1 s"
    assert time.monotonic() - began < 30
    assert ends == ["cancelled"]


# --- the start-up, between a server and an application -----------------------------------------


class StartupGate:
    """Holds a worker for as many failed checks as ``tries``. It keeps what it judged."""

    def __init__(self, worker: Any, tries: int = 0, may_fail: bool = True) -> None:
        self.worker, self.tries, self.may_fail = worker, tries, may_fail
        self.judged: list[str] = []
        self.before_next: Callable[[], None] = lambda: None

    @property
    def leaving(self) -> bool:
        return not self.worker.alive

    def judge(self, status: str) -> float | None:
        self.judged.append(status)
        self.before_next()
        if status.startswith("2") or len(self.judged) > self.tries:
            return None
        return 0.001


class Startup:
    """A worker with ``application``, and a server that starts it up and shuts it down."""

    def __init__(self, application: Any, **boot: Any) -> None:
        self.told: list[dict[str, Any]] = []
        self.application = application
        self.worker = SimpleNamespace(
            asgi=application,
            alive=True,
            sockets=["a socket"],
            cfg=SimpleNamespace(asgi_lifespan="auto"),
            run=lambda: asyncio.run(self._serve()),
        )
        checker = checker_for(self.worker)
        assert isinstance(checker, AsgiChecker)
        self.checker, self.boot = checker, StartupGate(self.worker, **boot)

    def run(self, check: Check | None = CHECK) -> Startup:
        self.checker.before_accept(check, self.boot)
        assert self.worker.asgi is not self.application
        self.worker.run()
        return self

    @property
    def answers(self) -> list[str]:
        return [message["type"].removeprefix("lifespan.") for message in self.told]

    async def _serve(self) -> None:
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        answered = asyncio.Event()
        await inbox.put({"type": "lifespan.startup"})

        async def send(message: dict[str, Any]) -> None:
            self.told.append(message)
            answered.set()

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        life = asyncio.ensure_future(self.worker.asgi(scope, inbox.get, send))
        ready: Awaitable[Any] = asyncio.ensure_future(answered.wait())
        await asyncio.wait({life, ready}, return_when=asyncio.FIRST_COMPLETED)
        # What serves requests is the application itself: nothing of ours is left in their way.
        assert self.worker.asgi is self.application
        await inbox.put({"type": "lifespan.shutdown"})
        await asyncio.gather(life, return_exceptions=True)


def living(statuses: list[int], seen: list[str]) -> Any:
    """An application with a lifespan, whose checks answer with ``statuses``."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            assert scope["state"] == {"database": "open"}
            await respond(send, statuses.pop(0) if len(statuses) > 1 else statuses[0])
            return
        seen.append((await receive())["type"])
        scope["state"]["database"] = "open"
        await send({"type": COMPLETE})
        seen.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    return application


WHOLE_LIFE = ["lifespan.startup", "lifespan.shutdown"]


def test_the_server_hears_of_a_start_up_only_when_the_check_has_passed() -> None:
    seen: list[str] = []
    startup = Startup(living([503, 503, 200], seen), tries=10)
    startup.run()
    assert startup.boot.judged == ["503 Service Unavailable", "503 Service Unavailable", "200 OK"]
    assert startup.checker.status == "200 OK"
    assert startup.answers == ["startup.complete", "shutdown.complete"]
    assert seen == WHOLE_LIFE


def test_one_that_nobody_holds_serves_whatever_its_check_says() -> None:
    startup = Startup(living([503], [])).run()
    assert startup.boot.judged == ["503 Service Unavailable"]
    assert startup.answers == ["startup.complete", "shutdown.complete"]


def test_one_that_is_told_to_leave_while_held_shuts_down_and_never_serves() -> None:
    seen: list[str] = []
    startup = Startup(living([503], seen), tries=1000)
    startup.boot.before_next = lambda: vars(startup.worker).update(alive=False)
    with pytest.raises(SystemExit) as left:
        startup.run()
    assert left.value.code == 0
    assert startup.answers == ["startup.failed"]
    assert startup.worker.sockets == []
    assert seen == WHOLE_LIFE


async def _cannot_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": FAILED, "message": "Traceback:\n  a line\nOSError: no database\n"})


def test_a_failed_start_up_ends_the_worker_with_its_message() -> None:
    startup = Startup(_cannot_start)
    with pytest.raises(StartupFailed, match="OSError: no database"):
        startup.run()
    assert startup.answers == ["startup.failed"]
    assert startup.worker.sockets == []
    assert startup.boot.judged == []


def test_a_failed_start_up_at_an_arbiters_first_is_left_to_the_server() -> None:
    startup = Startup(_cannot_start, may_fail=False).run()
    assert startup.answers == ["startup.failed"]
    assert startup.worker.sockets == ["a socket"]
    assert "no database" in startup.checker.failure


@pytest.mark.parametrize("application", [_raises, _says_nothing])
def test_one_without_a_lifespan_is_checked_before_the_server_knows(application: Any) -> None:
    startup = Startup(application, tries=2).run()
    assert len(startup.boot.judged) == 3
    assert startup.answers == []
    assert startup.worker.sockets == ["a socket"]


def test_without_a_check_only_the_start_up_is_seen() -> None:
    startup = Startup(living([503], [])).run(None)
    assert startup.boot.judged == []
    assert startup.answers == ["startup.complete", "shutdown.complete"]
