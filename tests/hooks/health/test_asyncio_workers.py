"""Workers that run a loop, in the real Gunicorn: checked before they accept, and as they serve."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

import pytest

from supervisor_roll.hooks.worker.readiness import RETRY_SECS
from supervisor_roll.wire.messages import Ack, Failed, Loaded, Message, Ready, Unready
from tests.harness import gunicorn_venv
from tests.harness.processes import is_gone
from tests.hooks.running_gunicorn import RunningGunicorn

INSTALLED = "from supervisor_roll.hooks import install; install(globals())\n"
HEALTH = {"health": "/_status", "health_host": "www.example.org"}
MakeGunicorn = Callable[..., RunningGunicorn]

NOTES = """
import asyncio, os, pathlib
here = pathlib.Path(__file__).parent

def note(what):
    with open(here / "log", "a") as log:
        log.write(f"{what} {os.getpid()}\\n")

async def health():
    note("checked")
    await asyncio.sleep(0.1)
    return 503 if (here / "sick").exists() else 200
"""

ASGI = (
    NOTES
    + """
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.startup" and (here / "broken").exists():
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            if kind == "lifespan.startup" and (here / "raises").exists():
                raise LookupError("no broker")
            if kind == "lifespan.startup" and (here / "hangs").exists():
                note("hanging")
                try:
                    await asyncio.sleep(300)
                finally:
                    note("cancelled")
            note(kind)
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    status = await health() if scope["path"] == "/_status" else note("requested") or 200
    headers = [(b"content-length", b"4"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"fine"})
"""
)

TORNADO = (
    NOTES
    + """
from tornado import web

class Index(web.RequestHandler):
    def get(self):
        note("requested")
        self.finish("fine")

class Status(web.RequestHandler):
    async def get(self):
        assert self.request.remote_ip == "127.0.0.1", self.request.remote_ip
        assert self.request.host == "www.example.org", self.request.host
        self.set_status(await health())

application = web.Application([("/", Index), ("/_status", Status)])
"""
)

CLASSES = {
    "asgi": ("asgi", ASGI, ""),
    "uvicorn": ("uvicorn_worker.UvicornWorker", ASGI, ""),
    "tornado": ("tornado", TORNADO, ""),
    # Without a lifespan there is no moment before the first accept.
    "asgi, no lifespan": ("asgi", ASGI, "asgi_lifespan = 'off'\n"),
    "uvicorn, no lifespan": ("tests_worker.Off", ASGI, ""),
}
OFF = """
from uvicorn_worker import UvicornWorker

class Off(UvicornWorker):
    CONFIG_KWARGS = {"loop": "asyncio", "http": "h11", "lifespan": "off"}
"""
CHECKED_FIRST = ["asgi", "uvicorn", "tornado"]


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gunicorns be those that have these classes."""
    gunicorn = gunicorn_venv("27.0.1")
    monkeypatch.setattr(sys, "executable", str(gunicorn.parent / "python"))


def made(
    make_gunicorn: MakeGunicorn, name: str, answers: Callable, more: str = ""
) -> RunningGunicorn:
    worker_class, application, conf = CLASSES[name]
    gunicorn = make_gunicorn(f"worker_class = {worker_class!r}\n{conf}{more}{INSTALLED}", answers)
    gunicorn.touch("app.py", application)
    gunicorn.touch("tests_worker.py", OFF)
    return gunicorn


def statuses(gunicorn: RunningGunicorn, kind: str) -> list[str | None]:
    return [message.status for _, message in gunicorn.said(kind)]


@pytest.mark.parametrize("name", CHECKED_FIRST)
def test_a_check_that_is_wanted_late_is_made_as_the_worker_serves(
    make_gunicorn: MakeGunicorn, name: str
) -> None:
    """The answer to its LOADED is lost. It is asked again until it passes, and then no more."""

    def answers(pid: int, message: Message) -> Message | None:
        return None if isinstance(message, Loaded) else Ack(**HEALTH)

    gunicorn = made(make_gunicorn, name, answers)
    gunicorn.touch("sick")
    gunicorn.start()
    gunicorn.hear_until(lambda: len(gunicorn.said(Unready)) >= 2, "two checks that fail")
    assert statuses(gunicorn, Ready)[:1] == [None]
    assert statuses(gunicorn, Unready)[-1] == "503 Service Unavailable"
    client = gunicorn.connect()
    assert client is not None
    gunicorn.hear_until(lambda: "requested" in gunicorn.notes(), "it serves meanwhile")
    gunicorn.forget("sick")
    gunicorn.hear_until(lambda: "200 OK" in statuses(gunicorn, Ready), "it is ready")


@pytest.mark.parametrize("name", ["asgi, no lifespan", "uvicorn, no lifespan"])
def test_without_a_lifespan_the_check_is_made_from_the_first_heartbeat_on(
    make_gunicorn: MakeGunicorn, name: str
) -> None:
    gunicorn = made(make_gunicorn, name, lambda pid, message: Ack(**HEALTH)).start()
    gunicorn.hear_until(lambda: bool(gunicorn.said(Ready)), "it is ready")
    assert statuses(gunicorn, Ready) == ["200 OK"]


@pytest.mark.parametrize("name", ["asgi", "uvicorn"])
def test_once_it_is_heard_it_says_no_more(make_gunicorn: MakeGunicorn, name: str) -> None:
    """What these classes do by a timer, beside the heartbeat, ends as well."""
    gunicorn = made(make_gunicorn, name, lambda pid, message: Ack(**HEALTH)).start()
    gunicorn.hear_until(lambda: bool(gunicorn.said(Ready)), "it is ready")
    # It has three times as long as it would take to say so again.
    until = time.monotonic() + 3 * RETRY_SECS
    gunicorn.hear_until(lambda: time.monotonic() > until, "nothing more")
    assert len(gunicorn.said(Ready)) == 1


@pytest.mark.parametrize("name", CHECKED_FIRST)
def test_one_that_is_held_serves_nobody_and_leaves_when_it_is_told_to(
    make_gunicorn: MakeGunicorn, name: str
) -> None:
    def answers(pid: int, message: Message) -> Message | None:
        return Ack(**HEALTH, hold=True, hold_secs=60)

    gunicorn = made(make_gunicorn, name, answers)
    gunicorn.touch("sick")
    gunicorn.start()
    gunicorn.hear_until(lambda: len(gunicorn.said(Unready)) >= 2, "two checks that fail")
    assert gunicorn.connect() is not None
    held = gunicorn.said(Unready)[0][0]
    heard = len(gunicorn.said(Unready))
    gunicorn.hear_until(lambda: len(gunicorn.said(Unready)) > heard, "one more")
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.exit_status() == 0
    assert is_gone(held)
    assert not gunicorn.said(Ready)
    assert "requested" not in gunicorn.notes()
    if name != "tornado":
        assert gunicorn.notes(held)[-1] == "lifespan.shutdown"


@pytest.mark.parametrize("name", ["asgi", "uvicorn"])
def test_a_first_start_that_fails_fails_as_ever(make_gunicorn: MakeGunicorn, name: str) -> None:
    gunicorn = made(make_gunicorn, name, lambda pid, message: Ack(**HEALTH))
    gunicorn.touch("broken")
    gunicorn.start()
    gunicorn.hear_until(lambda: bool(gunicorn.said(Failed)), "why")
    assert gunicorn.exit_status() == 3
    # Not the status that its server leaves with.
    assert gunicorn.said(Failed)[0][1].error.endswith("no database")
    assert not gunicorn.said(Ready)


def test_what_a_start_up_raises_is_told(make_gunicorn: MakeGunicorn) -> None:
    """Where a lifespan is demanded; else an application that raises may just know none."""
    gunicorn = made(make_gunicorn, "asgi", lambda pid, message: Ack(), "asgi_lifespan = 'on'\n")
    gunicorn.touch("raises")
    gunicorn.start()
    gunicorn.hear_until(lambda: bool(gunicorn.said(Failed)), "why")
    assert gunicorn.exit_status() == 3
    said = gunicorn.said(Failed)[0][1]
    assert said.error == "LookupError: no broker"
    assert 'raise LookupError("no broker")' in said.traceback


@pytest.mark.parametrize("name", ["asgi", "uvicorn"])
def test_a_start_up_that_hangs_ends_when_its_worker_is_told_to_leave(
    make_gunicorn: MakeGunicorn, name: str
) -> None:
    """It need not be killed."""
    gunicorn = made(make_gunicorn, name, lambda pid, message: Ack(), "graceful_timeout = 60\n")
    gunicorn.touch("hangs")
    gunicorn.start()
    gunicorn.hear_until(lambda: "hanging" in gunicorn.notes(), "the start-up")
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.exit_status() == 0
    assert "cancelled" in gunicorn.notes()
    assert not gunicorn.said(Ready)
