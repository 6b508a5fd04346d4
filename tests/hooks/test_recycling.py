"""A worker of each class that is past its max_requests serves on, and its arbiter retires that very
one; and Gunicorn's own way is as it was where it is left to that."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from supervisor_roll.wire.messages import Booting, Due, Message, Ready
from tests.harness.waiting import patience, wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, Gunicorn, Site, ask

pytestmark = pytest.mark.processes

UVICORN = "uvicorn_worker.UvicornWorker"
CLASSES = [
    ("20.1.0", "sync"),
    ("27.0.1", "sync"),
    ("20.1.0", "gthread"),
    ("23.0.0", "gthread"),
    ("27.0.1", "gthread"),
    ("20.1.0", "gevent"),
    ("27.0.1", "gevent"),
    ("27.0.1", "tornado"),
    ("25.3.0", "asgi"),
    ("27.0.1", "asgi"),
    ("23.0.0", UVICORN),
    ("27.0.1", UVICORN),
]
LIMIT = 5

WSGI = """
import os

def application(environ, start_response):
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Connection", "close")])
    return [body]
"""
ASGI = """
import os

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


def start(site: Site, version: str, worker_class: str, workers: int = 2) -> Gunicorn:
    is_asgi = "asgi" in worker_class or "uvicorn" in worker_class
    (site.folder / "app.py").write_text(ASGI if is_asgi else WSGI)
    gunicorn = site.start(
        version,
        f"bind = 'unix:{site.folder}/http'\nworkers = {workers}\nworker_class = {worker_class!r}\n"
        f"max_requests = {LIMIT}\n{HOOKS}",
    )
    return gunicorn.wait_ready(workers)


def answers(said: Callable[[int, Message], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """READY is answered so that the worker is recycled, and Due as ``said`` says."""

    def more(pid: int, message: Message) -> dict[str, Any]:
        if isinstance(message, Ready):
            return {"recycle": True, "grace_secs": 300.0}
        return {"recycle": True} | said(pid, message) if isinstance(message, Due) else {}

    return more


def load(site: Site, until: Callable[[], bool], *may_fail: type[OSError]) -> None:
    """Ask until it is so."""
    ends_at = time.monotonic() + DEADLINE_SECS * patience()
    while not until():
        assert time.monotonic() < ends_at, site.gunicorns[0].log
        with suppress(*may_fail):
            ask(f"unix:{site.folder}/http")


@pytest.mark.parametrize(("version", "worker_class"), CLASSES)
def test_it_serves_on_and_says_so_until_it_is_left_to_gunicorn(
    site: Site, version: str, worker_class: str
) -> None:
    site.listener.more = answers(lambda pid, message: {})
    gunicorn = start(site, version, worker_class)
    before = set(gunicorn.workers())
    load(site, lambda: site.listener.senders(Due) == before)
    assert set(gunicorn.workers()) == before
    assert len(site.listener.senders(Booting)) == 2, "nobody has left"
    for pid in before:
        answered, _, limit = site.listener.said(Due, pid)[-1].why.partition(" requests, ")
        assert int(answered) >= LIMIT
        assert limit == f"limit {LIMIT}"
    site.listener.more = answers(lambda pid, message: {"recycle": False})
    # Gunicorn's own way: its gthread drops connections (benoitc/gunicorn#3038).
    load(site, lambda: both_are_new(gunicorn, before), OSError)


@pytest.mark.parametrize(("version", "worker_class"), CLASSES[:2] + CLASSES[-3:-2] + CLASSES[-1:])
def test_a_ttou_retires_the_very_one_that_has_said_the_age_it_was_given(
    site: Site, version: str, worker_class: str
) -> None:
    chosen: list[int] = []
    site.listener.more = answers(
        lambda pid, message: {"retire_age": -1000000} if [pid] == chosen else {}
    )
    gunicorn = start(site, version, worker_class, workers=3)
    youngest = max(gunicorn.workers(), key=lambda pid: _age(site, pid))
    chosen.append(youngest)
    load(site, lambda: _age(site, youngest) == -1000000)
    others = set(gunicorn.workers()) - {youngest}
    gunicorn.send(signal.SIGTTIN)
    gunicorn.wait_ready(4)
    gunicorn.send(signal.SIGTTOU)
    wait_until(lambda: youngest not in gunicorn.workers(), DEADLINE_SECS, "it is gone")
    assert others < set(gunicorn.workers())
    assert len(gunicorn.workers()) == 3
    assert len(site.listener.senders(Booting)) == 4, "one boot"


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "asgi", UVICORN])
def test_one_that_is_asked_to_says_that_it_is_due_until_it_is_told_that_it_is_not(
    site: Site, worker_class: str
) -> None:
    site.listener.more = answers(lambda pid, message: {"unasked": True})
    gunicorn = start(site, "27.0.1", worker_class)
    asked = gunicorn.workers()[0]
    os.kill(asked, signal.SIGURG)
    wait_until(lambda: site.listener.senders(Due) == {asked}, DEADLINE_SECS, "it says so")
    assert site.listener.said(Due)[0].why == ""
    time.sleep(8)
    assert len(site.listener.said(Due)) == 1
    assert asked in gunicorn.workers()


def test_where_nobody_answers_gunicorn_ends_it_as_ever(site: Site) -> None:
    site.listener.more = answers(lambda pid, message: {})
    gunicorn = start(site, "27.0.1", "sync")
    before = set(gunicorn.workers())
    site.listener.mute = True
    load(site, lambda: site.listener.senders(Due) == before)
    began = time.monotonic()
    load(site, lambda: len(before & set(gunicorn.workers())) < 2)
    assert time.monotonic() > began + 5.0, "it waits for an answer first"
    site.listener.mute = False
    load(site, lambda: both_are_new(gunicorn, before))


def test_where_the_replacement_does_not_come_gunicorn_ends_it_after_the_grace(site: Site) -> None:
    grace = {"recycle": True, "grace_secs": 3.0}
    site.listener.more = lambda pid, message: grace if isinstance(message, (Ready, Due)) else {}
    gunicorn = start(site, "27.0.1", "sync")
    before = set(gunicorn.workers())
    load(site, lambda: both_are_new(gunicorn, before))
    assert site.listener.senders(Due) >= before


def test_one_that_is_kept_serves_on_beyond_its_grace(site: Site) -> None:
    fields = {"recycle": True, "grace_secs": 6.0, "more_grace": True}
    site.listener.more = lambda pid, message: fields
    gunicorn = start(site, "27.0.1", "sync")
    before = set(gunicorn.workers())
    until = time.monotonic() + 14
    load(site, lambda: time.monotonic() > until)
    assert set(gunicorn.workers()) == before


def both_are_new(gunicorn: Gunicorn, before: set[int]) -> bool:
    workers = gunicorn.workers()
    return len(workers) == 2 and not before & set(workers)


def _age(site: Site, pid: int) -> int:
    return max(
        (one.age for one in site.listener.said(Due, pid)[-1:]),
        default=site.listener.said(Ready, pid)[-1].age,
    )
