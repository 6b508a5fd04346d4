"""An arbiter that retires is told so by a signal, and how long it may take by the listener."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_roll.hooks.arbiter import retiring
from supervisor_roll.hooks.arbiter.retiring import Allowance, prepare
from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.wire.datagram import SOCKET_VARIABLE, decode, encode
from supervisor_roll.wire.messages import Ack, Draining, Message


class Arbiter:
    """As Gunicorn's, but its workers leave after as many signals as it is told."""

    def __init__(self, stubborn: int = 0) -> None:
        self.pid = os.getpid()
        self.START_CTX = {"cwd": "/nonexistent"}
        self.cfg = SimpleNamespace(graceful_timeout=30, chdir="/nonexistent", settings={})
        self.cfg.set = lambda name, value: setattr(self.cfg, name, value)
        self.WORKERS = {1: object()}
        self.sent: list[int] = []
        self.waited_for: list[float] = []
        self._stubborn = stubborn

    def stop(self, graceful: bool = True) -> None:
        self.waited_for.append(self.cfg.graceful_timeout)
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        self.kill_workers(signal.SIGKILL)

    def kill_workers(self, signum: int) -> None:
        if self.WORKERS:
            self.sent.append(signum)
        if len(self.sent) > self._stubborn:
            self.WORKERS.clear()

    def reap_workers(self) -> None:
        pass


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGURG)
    yield
    signal.signal(signal.SIGURG, before)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Message]]:
    """One that says 90 s to each, and what it was asked."""
    path, heard = str(tmp_path / str(os.geteuid())), []
    receiving = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiving.bind(path)
    monkeypatch.setenv(SOCKET_VARIABLE, str(tmp_path))

    def answer() -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(receiving, 16384, 1)
            if not data:
                return
            heard.append(decode(data))
            with socket.socket(fileno=fds[0]) as reply:
                reply.send(encode(Ack(drain_secs=90.5)))

    thread = threading.Thread(target=answer)
    thread.start()
    yield heard
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
        last.sendto(b"", path)
    thread.join()
    receiving.close()


def prepared(**options: Any) -> Any:
    arbiter = Arbiter(**options)
    prepare(arbiter)
    return arbiter


def test_one_that_retires_waits_for_as_long_as_the_rollout_says(listener: list[Message]) -> None:
    arbiter = prepared()
    os.kill(os.getpid(), signal.SIGURG)
    arbiter.stop()
    page = ArbiterState.of(arbiter).page
    assert page.retiring
    assert arbiter.waited_for == [91]
    assert listener == [Draining()]
    worker = SimpleNamespace(cfg=SimpleNamespace(graceful_timeout=30, reuse_port=True))
    allowed = Allowance(worker, page)
    assert not allowed.nothing()
    assert 85 < allowed.until() - time.monotonic() <= 90.5
    arbiter.stop()  # halt() does that again
    assert len(listener) == 1


def test_one_that_stops_asks_nobody(listener: list[Message]) -> None:
    arbiter = prepared()
    arbiter.stop()
    assert not ArbiterState.of(arbiter).page.retiring
    assert arbiter.waited_for == [30]
    assert not listener


def test_without_a_listener_it_waits_for_its_graceful_timeout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, str(tmp_path / "nobody"))
    arbiter = prepared()
    os.kill(os.getpid(), signal.SIGURG)
    arbiter.stop()
    assert arbiter.waited_for == [30]
    assert 25 < ArbiterState.of(arbiter).page.drained_by - time.monotonic() <= 30


def test_a_listener_that_does_not_answer_has_said_it_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, str(tmp_path / "nobody"))
    arbiter = prepared()
    page = ArbiterState.of(arbiter).page
    page.drain_secs = 70
    worker = SimpleNamespace(cfg=SimpleNamespace(graceful_timeout=30, reuse_port=True))
    assert 65 < Allowance(worker, page).until() - time.monotonic() <= 70
    os.kill(os.getpid(), signal.SIGURG)
    arbiter.stop()
    assert arbiter.waited_for == [70]


def test_a_worker_inherits_the_handler_but_is_no_arbiter() -> None:
    arbiter = prepared()
    arbiter.pid += 1
    os.kill(os.getpid(), signal.SIGURG)
    assert not ArbiterState.of(arbiter).page.retiring


@pytest.mark.parametrize(
    ("retires", "stubborn", "sent"),
    [
        (True, 1, [signal.SIGTERM, signal.SIGABRT]),
        (True, 9, [signal.SIGTERM, signal.SIGABRT, signal.SIGKILL]),
        (True, 0, [signal.SIGTERM]),
        (False, 9, [signal.SIGTERM, signal.SIGKILL]),
    ],
)
def test_its_workers_that_take_too_long_are_told_abrt_before_kill(
    monkeypatch: pytest.MonkeyPatch, retires: bool, stubborn: int, sent: list[int]
) -> None:
    monkeypatch.setattr(retiring, "ABORT_SECS", 0.1)
    arbiter = prepared(stubborn=stubborn)
    if retires:
        os.kill(os.getpid(), signal.SIGURG)
    arbiter.stop()
    assert arbiter.sent == sent


def test_a_worker_that_is_told_to_stop_by_itself_has_what_the_rollout_says(
    listener: list[Message],
) -> None:
    worker = SimpleNamespace(cfg=SimpleNamespace(graceful_timeout=30, reuse_port=True))
    allowed = Allowance(worker, ArbiterState.of(Arbiter()).page)
    until = allowed.until()
    assert 85 < until - time.monotonic() <= 90.5
    assert allowed.until() == until
    assert len(listener) == 1
