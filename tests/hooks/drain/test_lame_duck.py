"""The course of a drain: how long it lasts, what ends it, and that a worker can always stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.sock import TCPSocket

from supervisor_roll.hooks.by_worker_class import drain_for
from supervisor_roll.hooks.drain.asyncio_workers import asking
from supervisor_roll.hooks.drain.gevent import GeventDrain
from supervisor_roll.hooks.drain.gthread import GthreadDrain
from supervisor_roll.hooks.drain.lame_duck import (
    CLOSING_SECS,
    LONGEST_SECS,
    MARGIN_SECS,
    LameDuck,
    arbiter_stops,
)


def worker(keepalive: float = 2, graceful_timeout: float = 30, **more: Any) -> Any:
    cfg = SimpleNamespace(keepalive=keepalive, graceful_timeout=graceful_timeout, reuse_port=True)
    cfg.set = lambda name, value: setattr(cfg, name, value)
    return SimpleNamespace(cfg=cfg, alive=True, sockets=[], **more)


class Allowed:
    """So many seconds, or none: the program stops. ``known_late``: of that it hears only later."""

    def __init__(self, secs: float | None, *, known_late: float = 0.0) -> None:
        self._secs, self._late = secs, known_late
        self._began = 0.0

    def nothing(self) -> bool:
        return self._secs is None

    def until(self, *, waits: bool = True) -> float:
        assert self._secs is not None
        first = not self._began
        self._began = self._began or time.monotonic()
        return self._began + ((self._late or self._secs) if not first else self._secs)


class Duck(LameDuck):
    """Writes down what is done to its worker, which has as many connections as it is told."""

    def __init__(self, worker: Any, secs: float | None = None, *, stops: bool = False) -> None:
        super().__init__(
            worker, Allowed(None if stops else secs or float(worker.cfg.graceful_timeout))
        )
        self.done: list[str] = []
        self.open = 0
        self.works = False

    def run(self) -> None:
        self.done.append("run")

    def resume(self) -> None:
        self.done.append("resume")

    def ask_to_close(self) -> None:
        self.done.append("ask_to_close")

    def connections(self) -> int:
        return self.open

    def stop_accepting(self) -> None:
        self.done.append("stop_accepting")

    def busy(self) -> bool:
        return self.works

    def say_goodbye(self) -> None:
        self.done.append("say_goodbye")

    def drain_secs(self, deadline_secs: float = 5.0) -> float:
        """Take the drain to its end; how long it was."""
        began = time.monotonic()
        while self.advance():
            assert time.monotonic() < began + deadline_secs, self.done
            time.sleep(0.005)
        return time.monotonic() - began


@pytest.mark.parametrize(
    ("keepalive", "graceful_timeout", "lame_secs"),
    [
        (2, 30, 2 + MARGIN_SECS),
        (75, 30, LONGEST_SECS),
        (75, 8, 3),
        (5, 2, 0.75),
        (0, 30, 0),  # no connection is kept alive
    ],
)
def test_the_lame_time_is_that_of_an_idle_connection_within_bounds(
    keepalive: float, graceful_timeout: float, lame_secs: float
) -> None:
    assert Duck(worker(keepalive, graceful_timeout)).lame_secs == lame_secs


def test_the_drain_leaves_half_of_the_graceful_timeout_to_the_worker() -> None:
    assert Duck(worker(graceful_timeout=30)).closing_secs == CLOSING_SECS
    hurried = Duck(worker(keepalive=5, graceful_timeout=1))
    assert hurried.lame_secs + hurried.closing_secs == 0.5


def test_a_worker_without_connections_leaves_at_once() -> None:
    duck = Duck(worker())
    duck.termed()
    assert duck.drain_secs() < MARGIN_SECS
    assert duck.done == ["run", "ask_to_close", "stop_accepting"]


def test_a_worker_with_connections_serves_for_the_lame_time_before_it_stops_accepting() -> None:
    duck = Duck(worker(keepalive=5, graceful_timeout=0.8))
    duck.open = 1
    duck.termed()
    assert duck.advance()
    assert duck.lame
    assert duck.done == ["run", "ask_to_close"]
    secs = duck.drain_secs()
    assert duck.done[-1] == "stop_accepting"
    assert 0.35 < secs < 1


def test_the_last_connection_that_closes_ends_the_lame_time() -> None:
    duck = Duck(worker())
    duck.open = 1
    duck.termed()
    assert duck.advance()
    duck.open = 0
    assert duck.drain_secs() < MARGIN_SECS


def test_without_keepalive_there_is_only_the_closing_time() -> None:
    duck = Duck(worker(keepalive=0, graceful_timeout=1.6))
    duck.open = 1
    duck.termed()
    assert 0.15 < duck.drain_secs() < 1
    assert duck.done == ["run", "stop_accepting"]


def test_what_is_under_way_is_waited_for_within_what_is_allowed_then_told_that_it_ends() -> None:
    """``graceful_timeout`` is no bound where a rollout says how long it may take."""
    duck = Duck(worker(keepalive=0, graceful_timeout=0.2), secs=0.8)
    duck.works = True
    duck.termed()
    assert 0.35 < duck.drain_secs() < 0.8
    assert duck.done == ["run", "stop_accepting", "say_goodbye"]


def test_what_has_ended_by_itself_is_not_waited_for() -> None:
    duck = Duck(worker(keepalive=0, graceful_timeout=0.2), secs=60)
    duck.works = True
    duck.termed()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        assert duck.advance()
        time.sleep(0.005)
    duck.works = False
    assert duck.drain_secs() < MARGIN_SECS
    assert duck.done == ["run", "stop_accepting"]


def test_a_listener_that_is_slow_to_answer_is_heard_later() -> None:
    duck = Duck(worker(keepalive=0, graceful_timeout=0.2))
    duck._allowed = Allowed(0.2, known_late=1.2)
    duck.works = True
    duck.termed()
    assert 0.5 < duck.drain_secs() < 1.2


def test_gunicorn_itself_waits_for_no_longer_than_is_left() -> None:
    duck = Duck(worker(keepalive=0, graceful_timeout=30), secs=4)
    duck.works = True
    duck.termed()
    duck.drain_secs()
    assert 1 <= duck.worker.cfg.graceful_timeout <= 2
    unhurried = Duck(worker(keepalive=0, graceful_timeout=5), secs=60)
    unhurried.termed()
    unhurried.drain_secs()
    assert unhurried.worker.cfg.graceful_timeout == 5


def test_a_program_that_stops_does_not_drain() -> None:
    duck = Duck(worker(), stops=True)
    duck.open = 1
    duck.termed()
    assert duck.done == ["resume"]


def test_terms_that_are_repeated_change_nothing() -> None:
    duck = Duck(worker())
    duck.open = 1
    for _ in range(3):
        duck.termed()
        assert duck.advance()
    assert duck.done == ["run", "ask_to_close"]


def test_a_worker_that_is_leaving_already_just_stops() -> None:
    duck = Duck(worker())
    duck.worker.alive = False
    duck.termed()
    assert duck.done == ["resume"]


def test_a_drain_that_fails_does_not_keep_the_worker() -> None:
    class Broken(Duck):
        def ask_to_close(self) -> None:
            raise AttributeError("another Gunicorn has no such thing")

    duck = Broken(worker())
    duck.termed()
    assert not duck.advance()
    duck.termed()
    assert duck.over


def test_no_drain_for_classes_that_we_do_not_know_or_without_a_graceful_timeout() -> None:
    assert drain_for(worker(), Allowed(1)) is None
    threads = type("ThreadWorker", (SimpleNamespace,), {"__module__": "gunicorn.workers.gthread"})
    assert drain_for(threads(**vars(worker(graceful_timeout=0))), Allowed(1)) is None
    assert isinstance(drain_for(threads(**vars(worker())), Allowed(1)), GthreadDrain)


# ---- whether the arbiter stops ----

_CHILD = """
import socket, sys
from types import SimpleNamespace
from supervisor_roll.hooks.drain.lame_duck import arbiter_stops
worker = SimpleNamespace(cfg=SimpleNamespace(reuse_port=False),
                         sockets=[socket.socket(fileno=int(sys.argv[1]))])
for line in sys.stdin:
    print(arbiter_stops(worker), flush=True)
"""


def test_an_arbiter_that_has_closed_its_sockets_stops() -> None:
    """Here this test is the arbiter."""
    listening = socket.create_server(("127.0.0.1", 0))
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(listening.fileno())],
        pass_fds=[listening.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin and child.stdout
        answers = []
        for _ in range(2):
            child.stdin.write("?\n")
            child.stdin.flush()
            answers.append(child.stdout.readline().strip())
            listening.close()
        child.stdin.close()
    assert answers == ["False", "True"]


def test_a_worker_that_has_closed_its_own_cannot_see_it() -> None:
    """As a tornado worker at the end of its drain, when its arbiter TERMs it again."""
    listening = TCPSocket(("127.0.0.1", 0), Config(), None)
    listening.close()
    assert not arbiter_stops(
        SimpleNamespace(cfg=SimpleNamespace(reuse_port=False), sockets=[listening])
    )


def test_where_each_worker_has_sockets_of_its_own_nothing_can_be_seen() -> None:
    assert os.getppid()
    assert not arbiter_stops(worker())


# ---- an ASGI application around which we stand ----


async def _app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2"), (b"Connection", b"keep-alive")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def _sent(lame: bool, **scope: str) -> list[dict[str, Any]]:
    duck = Duck(worker())
    duck.lame = lame
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def call() -> None:
        await asking(duck, _app)({"type": "http", "http_version": "1.1", **scope}, None, send)

    asyncio.run(call())
    return sent


def test_an_answer_asks_to_close_once_the_worker_is_lame() -> None:
    start, body = _sent(lame=True)
    assert start["headers"] == [(b"content-length", b"2"), (b"connection", b"close")]
    assert body == {"type": "http.response.body", "body": b"ok"}


@pytest.mark.parametrize(
    ("lame", "scope"),
    [
        (False, {}),
        (True, {"http_version": "2"}),  # which has no such header
        (True, {"type": "websocket"}),
    ],
)
def test_other_answers_are_passed_on_as_they_are(lame: bool, scope: dict[str, str]) -> None:
    start, _ = _sent(lame, **scope)
    assert (b"Connection", b"keep-alive") in start["headers"]


def test_a_gevent_worker_waits_as_long_as_it_hears_only_while_it_waits() -> None:
    one = worker(graceful_timeout=2, notify=lambda: None)
    drain = GeventDrain(one, Allowed(2.0, known_late=90.0))
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        drain.arm()
        os.kill(os.getpid(), signal.SIGTERM)
        assert one.cfg.graceful_timeout == 1
        one.notify()
        assert 80 < one.cfg.graceful_timeout <= 90
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_term_that_is_repeated_while_it_asks_for_its_time_begins_no_second_drain() -> None:
    class Asking(Allowed):
        def until(self, *, waits: bool = True) -> float:
            duck.termed()
            return super().until(waits=waits)

    duck = Duck(worker())
    duck._allowed = Asking(30)
    duck.termed()
    assert duck.done == ["run"]
