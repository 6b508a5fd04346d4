"""A hook's way to the listener is bounded in time, whatever state the listener is in."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from supervisor_roll.hooks.channel import Channel
from supervisor_roll.wire.datagram import SOCKET_VARIABLE, encode
from supervisor_roll.wire.messages import Ack, Loaded, Ready
from tests.harness.descriptors import open_descriptors, settled_descriptors
from tests.hooks.raw_listener import RawListener

# Far above what any step takes even on a slow machine, far below what a wrong wait would take.
PROMPT_SECS = 10.0
ENDLESS = 1000.0


def in_background(listener: RawListener, data: bytes) -> threading.Thread:
    thread = threading.Thread(target=listener.answer, args=(data,))
    thread.start()
    return thread


def test_what_is_asked_is_answered(listener: RawListener) -> None:
    answer = Ack(health="/_status", health_headers=("A: 1", "B: 2"))
    thread = in_background(listener, encode(answer))
    channel = Channel(patience_secs=30)
    assert channel.ask(Loaded(age=3)) == answer
    thread.join()
    assert listener.taken[0][0] == Loaded(age=3)


def test_what_is_told_carries_no_socket_for_an_answer(listener: RawListener) -> None:
    Channel(patience_secs=30).tell(Ready())
    message, answers = listener.take()
    assert message == Ready()
    assert answers == []


@pytest.mark.parametrize("state", ["unset", "missing", "dead", "too long"])
def test_nobody_listening_costs_nothing(
    state: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if state == "unset":
        monkeypatch.delenv(SOCKET_VARIABLE)
    elif state == "dead":
        RawListener(path).close()
        assert path.exists()
    elif state == "too long":
        monkeypatch.setenv(SOCKET_VARIABLE, "/tmp/" + "x" * 200)
    channel = Channel(patience_secs=ENDLESS)
    began = time.monotonic()
    for _ in range(50):
        channel.tell(Ready())
        assert channel.ask(Loaded()) is None
    assert time.monotonic() - began < PROMPT_SECS


@pytest.mark.parametrize("queue", ["full", "empty"])
def test_a_listener_that_hangs_costs_our_patience_once_and_then_nothing(
    queue: str, listener: RawListener
) -> None:
    if queue == "full":
        listener.fill()
    channel = Channel(patience_secs=0.4)
    began = time.monotonic()
    assert channel.ask(Loaded()) is None
    first = time.monotonic()
    assert first - began >= 0.4 * 0.9
    for number in range(100):
        channel.tell(Ready())
        assert channel.ask(Loaded if number % 2 else Ready()) is None
    assert time.monotonic() - first < PROMPT_SECS  # 40 s and more, if each were waited for
    channel.close()


def test_a_late_answer_is_found_by_the_next_ask_of_the_same_kind(listener: RawListener) -> None:
    channel = Channel(patience_secs=0.05)
    assert channel.ask(Ready()) is None
    assert channel.ask(Ready()) is None
    assert listener.answer(encode(Ack(surplus=True))) == Ready()
    assert channel.ask(Ready()) == Ack(surplus=True)
    assert listener.holds_nothing()  # it was asked once, not three times


def test_a_late_answer_never_answers_another_question(listener: RawListener) -> None:
    channel = Channel(patience_secs=0.05)
    assert channel.ask(Loaded()) is None
    listener.answer(encode(Ack(health="/")))
    assert channel.ask(Ready()) is None
    assert listener.answer(encode(Ack())) == Ready()
    assert channel.ask(Ready()) == Ack()
    channel.close()


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe", b"garbage", b"ACK=2\n", b"ACK=1\nnonsense", b"NO=1"]
)
def test_an_answer_that_is_garbage_is_no_answer(garbage: bytes, listener: RawListener) -> None:
    thread = in_background(listener, garbage)
    channel = Channel(patience_secs=30)
    began = time.monotonic()
    assert channel.ask(Loaded()) is None
    thread.join()
    assert time.monotonic() - began < PROMPT_SECS
    channel.close()


def test_no_descriptor_is_left_behind(
    listener: RawListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settled_descriptors()
    for number in range(60):
        channel = Channel(patience_secs=0.001)
        channel.ask(Ready())  # it stays out
        if number % 3 == 0:
            listener.answer(encode(Ack()))
            channel.ask(Ready())
        elif number % 3 == 1:
            listener.answer(b"garbage")
            channel.ask(Loaded())
            listener.answer(encode(Ack()))
        else:
            for one in listener.take()[1]:
                one.close()  # dropped
            channel.ask(Ready())
        channel.close()
    monkeypatch.setenv(SOCKET_VARIABLE, str(listener.path) + "-missing")
    for _ in range(30):
        channel = Channel()
        channel.ask(Ready())
        channel.tell(Ready())
    assert open_descriptors() == before


def test_a_channel_that_waits_for_an_answer_keeps_one_descriptor(listener: RawListener) -> None:
    before = settled_descriptors()
    channel = Channel(patience_secs=0.001)
    for kind in (Ready, Loaded) * 5:
        assert channel.ask(kind()) is None
        _, answers = listener.take()
        for one in answers:
            one.close()
    assert open_descriptors() == before + 1
    channel.close()
    channel.close()
    assert open_descriptors() == before


@pytest.mark.parametrize("around", [0o1777, 0o755])
@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_a_directory_that_anybody_may_have_made_is_told_nothing(path: Path, around: int) -> None:
    path.parent.chmod(around)
    listener = RawListener(path)
    try:
        Channel().tell(Ready())
        listener.take()
        os.chown(path, 65534, -1)
        with socket.socket() as ours:
            assert Channel().ask(Ready(), [ours.fileno()]) is None
        # In a place that is somebody's a listener may run as another user.
        assert listener.holds_nothing() == (around == 0o1777)
    finally:
        listener.close()


def test_a_directory_that_others_may_write_is_told_nothing(
    path: Path, listener: RawListener
) -> None:
    path.chmod(0o777)
    Channel().tell(Ready())
    assert listener.holds_nothing()
