"""Descriptors travel to the listener and back, and whatever goes wrong none is left behind."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from supervisor_roll.hooks.channel import Channel
from supervisor_roll.wire.datagram import MAX_SOCKETS, SOCKET_VARIABLE, encode
from supervisor_roll.wire.messages import Ack, Listening, Starting
from tests.harness.descriptors import open_descriptors, settled_descriptors
from tests.hooks.raw_listener import RawListener

ANSWER = encode(Ack(sockets=("x",)))


@pytest.fixture
def pair() -> Iterator[list[int]]:
    """Two descriptors to send, as good as any."""
    fds = [one.detach() for one in socket.socketpair()]
    yield fds
    for fd in fds:
        os.close(fd)


def answering(listener: RawListener, data: bytes, fds: Sequence[int]) -> threading.Thread:
    def answer() -> None:
        _, answers = listener.take()
        with answers[0] as one:
            socket.send_fds(one, [data], list(fds))

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def same(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def test_what_is_asked_for_comes_in_order_and_is_not_inherited(
    listener: RawListener, pair: list[int]
) -> None:
    thread = answering(listener, ANSWER, pair)
    answer, fds = Channel(patience_secs=30).ask_for_sockets(Starting())
    thread.join()
    assert answer == Ack(sockets=("x",))
    assert len(fds) == 2
    for sent, came in zip(pair, fds, strict=True):
        assert same(sent, came)
        assert not os.get_inheritable(came)
        os.close(came)


def test_what_is_handed_in_comes_after_the_socket_for_the_answer(
    listener: RawListener, pair: list[int]
) -> None:
    channel = Channel(patience_secs=0.01)
    assert channel.ask(Listening(), pair) is None
    message, answers = listener.take()
    assert message == Listening()
    assert [same(one.fileno(), sent) for one, sent in zip(answers[1:], pair, strict=True)] == [
        True,
        True,
    ]
    answers[0].send(encode(Ack()))
    assert channel.ask(Listening(), pair) == Ack()
    for sent in pair:
        os.fstat(sent)  # ours are ours still


WRONG: dict[str, Callable[[list[int]], tuple[bytes, list[int]]]] = {
    "an answer that is garbage": lambda pair: (b"garbage", pair),
    "an answer that is empty": lambda pair: (b"", pair),
    "too many": lambda pair: (ANSWER, [pair[0]] * (MAX_SOCKETS + 1)),
    "far too many": lambda pair: (ANSWER, [pair[0]] * 250),
}


@pytest.mark.parametrize("what", WRONG)
def test_of_what_is_wrong_nothing_is_taken(
    listener: RawListener, pair: list[int], what: str
) -> None:
    before = settled_descriptors()
    thread = answering(listener, *WRONG[what](pair))
    channel = Channel(patience_secs=30)
    _, fds = channel.ask_for_sockets(Starting())
    thread.join()
    channel.close()
    listener.taken.clear()
    assert fds == []
    assert open_descriptors() == before


def test_as_many_as_are_allowed_are_taken(listener: RawListener, pair: list[int]) -> None:
    thread = answering(listener, ANSWER, [pair[0]] * MAX_SOCKETS)
    _, fds = Channel(patience_secs=30).ask_for_sockets(Starting())
    thread.join()
    assert len(fds) == MAX_SOCKETS
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("when", ["in time", "late", "too late"])
def test_what_nobody_asked_for_or_waited_for_is_not_left_open(
    listener: RawListener, pair: list[int], when: str
) -> None:
    before = settled_descriptors()
    channel = Channel(patience_secs=30 if when == "in time" else 0.01)
    if when == "in time":
        thread = answering(listener, ANSWER, pair)
        assert channel.ask(Starting()) is not None
    else:
        assert channel.ask_for_sockets(Starting()) == (None, [])
        thread = answering(listener, ANSWER, pair)
    thread.join()
    if when == "late":
        answer, fds = channel.ask_for_sockets(Starting())
        assert answer is not None
        assert len(fds) == 2
        for fd in fds:
            os.close(fd)
    channel.close()
    listener.taken.clear()
    assert open_descriptors() == before


def test_a_descriptor_that_is_none_is_not_sent(listener: RawListener) -> None:
    before = settled_descriptors()
    assert Channel(patience_secs=0.01).ask(Listening(), [1 << 20]) is None
    assert listener.holds_nothing()
    assert open_descriptors() == before


def test_nobody_listening_takes_no_descriptor(
    tmp_path: Path, pair: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, str(tmp_path / "nothing"))
    before = settled_descriptors()
    channel = Channel(patience_secs=30)
    assert channel.ask_for_sockets(Starting()) == (None, [])
    assert channel.ask(Listening(), pair) is None
    assert open_descriptors() == before
