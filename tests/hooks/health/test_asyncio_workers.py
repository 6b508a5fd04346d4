"""Workers that run a loop, in the real Gunicorn: checked before they accept, and as they serve."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from supervisor_roll.hooks.worker.readiness import RETRY_SECS
from supervisor_roll.wire.messages import Ack, Failed, Loaded, Message, Ready, Unready
from tests.harness.processes import is_gone
from tests.hooks.fake_listener import HOOKS
from tests.hooks.noting_site import NotingSite

HEALTH = {"health": "/_status", "health_host": "www.example.org"}
MakeSite = Callable[..., NotingSite]

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


def made(make_site: MakeSite, name: str, answers: Callable, more: str = "") -> NotingSite:
    worker_class, application, conf = CLASSES[name]
    site = make_site(
        f"worker_class = {worker_class!r}\n{conf}{more}{HOOKS}", answers, version="27.0.1"
    )
    site.touch("app.py", application)
    site.touch("tests_worker.py", OFF)
    return site


def statuses(site: NotingSite, kind: str) -> list[str | None]:
    return [message.status for _, message in site.said(kind)]


@pytest.mark.parametrize("name", CHECKED_FIRST)
def test_a_check_that_is_wanted_late_is_made_as_the_worker_serves(
    make_site: MakeSite, name: str
) -> None:
    """The answer to its LOADED is lost. It is asked again until it passes, and then no more."""

    def answers(pid: int, message: Message) -> Message | None:
        return None if isinstance(message, Loaded) else Ack(**HEALTH)

    site = made(make_site, name, answers)
    site.touch("sick")
    site.run()
    site.hear_until(lambda: len(site.said(Unready)) >= 2, "two checks that fail")
    assert statuses(site, Ready)[:1] == [None]
    assert statuses(site, Unready)[-1] == "503 Service Unavailable"
    client = site.connect()
    assert client is not None
    site.hear_until(lambda: "requested" in site.notes(), "it serves meanwhile")
    site.forget("sick")
    site.hear_until(lambda: "200 OK" in statuses(site, Ready), "it is ready")


@pytest.mark.parametrize("name", ["asgi, no lifespan", "uvicorn, no lifespan"])
def test_without_a_lifespan_the_check_is_made_from_the_first_heartbeat_on(
    make_site: MakeSite, name: str
) -> None:
    site = made(make_site, name, lambda pid, message: Ack(**HEALTH)).run()
    site.hear_until(lambda: bool(site.said(Ready)), "it is ready")
    assert statuses(site, Ready) == ["200 OK"]


@pytest.mark.parametrize("name", ["asgi", "uvicorn"])
def test_once_it_is_heard_it_says_no_more(make_site: MakeSite, name: str) -> None:
    """What these classes do by a timer, beside the heartbeat, ends as well."""
    site = made(make_site, name, lambda pid, message: Ack(**HEALTH)).run()
    site.hear_until(lambda: bool(site.said(Ready)), "it is ready")
    # It has three times as long as it would take to say so again.
    until = time.monotonic() + 3 * RETRY_SECS
    site.hear_until(lambda: time.monotonic() > until, "nothing more")
    assert len(site.said(Ready)) == 1


@pytest.mark.parametrize("name", CHECKED_FIRST)
def test_one_that_is_held_serves_nobody_and_leaves_when_it_is_told_to(
    make_site: MakeSite, name: str
) -> None:
    def answers(pid: int, message: Message) -> Message | None:
        return Ack(**HEALTH, hold=True, hold_secs=60)

    site = made(make_site, name, answers)
    site.touch("sick")
    site.run()
    site.hear_until(lambda: len(site.said(Unready)) >= 2, "two checks that fail")
    assert site.connect() is not None
    held = site.said(Unready)[0][0]
    heard = len(site.said(Unready))
    site.hear_until(lambda: len(site.said(Unready)) > heard, "one more")
    site.gunicorn.send(signal.SIGTERM)
    assert site.gunicorn.exit_status() == 0
    assert is_gone(held)
    assert not site.said(Ready)
    assert "requested" not in site.notes()
    if name != "tornado":
        assert site.notes(held)[-1] == "lifespan.shutdown"


@pytest.mark.parametrize("name", ["asgi", "uvicorn"])
def test_a_first_start_that_fails_fails_as_ever(make_site: MakeSite, name: str) -> None:
    site = made(make_site, name, lambda pid, message: Ack(**HEALTH))
    site.touch("broken")
    site.run()
    site.hear_until(lambda: bool(site.said(Failed)), "why")
    assert site.gunicorn.exit_status() == 3
    # Not the status that its server leaves with.
    assert site.said(Failed)[0][1].error.endswith("no database")
    assert not site.said(Ready)


def test_what_a_start_up_raises_is_told(make_site: MakeSite) -> None:
    """Where a lifespan is demanded; else an application that raises may just know none."""
    site = made(make_site, "asgi", lambda pid, message: Ack(), "asgi_lifespan = 'on'\n")
    site.touch("raises")
    site.run()
    site.hear_until(lambda: bool(site.said(Failed)), "why")
    assert site.gunicorn.exit_status() == 3
    said = site.said(Failed)[0][1]
    assert said.error == "LookupError: no broker"
    assert 'raise LookupError("no broker")' in said.traceback


@pytest.mark.parametrize("name", ["asgi", "uvicorn"])
def test_a_start_up_that_hangs_ends_when_its_worker_is_told_to_leave(
    make_site: MakeSite, name: str
) -> None:
    """It need not be killed."""
    site = made(make_site, name, lambda pid, message: Ack(), "graceful_timeout = 60\n")
    site.touch("hangs")
    site.run()
    site.hear_until(lambda: "hanging" in site.notes(), "the start-up")
    site.gunicorn.send(signal.SIGTERM)
    assert site.gunicorn.exit_status() == 0
    assert "cancelled" in site.notes()
    assert not site.said(Ready)
