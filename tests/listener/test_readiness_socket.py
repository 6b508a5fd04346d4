"""The socket that hooks write to: the kernel says who wrote, and what comes is never kept open."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_roll.hooks.channel import Channel
from supervisor_roll.listener.readiness_socket import Answer, ReadinessSocket
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.datagram import (
    ACK,
    MAX_BYTES,
    READY,
    SOCKET_VARIABLE,
    Message,
    decode,
    encode,
)


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="roll") as directory:
        yield f"{directory}/s"


@pytest.fixture
def sender(path: str) -> Iterator[socket.socket]:
    """A socket to send with; the readiness socket must be there first."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        yield sender


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_it_says_who_wrote_by_the_kernels_word(path: str, sender: socket.socket) -> None:
    readiness = ReadinessSocket(path)
    sender.sendto(b"mine", path)
    program = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.sendto(b'pid=1', sys.argv[1])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, path]) as child:
        assert child.wait(60) == 0
    mine, theirs = readiness.receive()
    assert (mine.pid, mine.data) == (os.getpid(), b"mine")
    assert (theirs.pid, theirs.data) == (child.pid, b"pid=1")


def test_nothing_to_receive_is_no_wait(path: str) -> None:
    assert ReadinessSocket(path).receive() == []


def test_anybody_may_write(path: str) -> None:
    ReadinessSocket(path)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o666


def test_a_new_listener_takes_the_path_over(path: str, sender: socket.socket) -> None:
    old = ReadinessSocket(path)
    new = ReadinessSocket(path)
    sender.sendto(b"x", path)
    assert old.receive() == []
    assert [one.data for one in new.receive()] == [b"x"]
    assert [one.name for one in Path(path).parent.iterdir()] == ["s"]


def test_a_file_in_the_way_is_replaced(path: str, sender: socket.socket) -> None:
    Path(path).write_text("left behind")
    readiness = ReadinessSocket(path)
    sender.sendto(b"x", path)
    assert len(readiness.receive()) == 1


def test_a_path_as_long_as_may_be_is_fine() -> None:
    with tempfile.TemporaryDirectory(prefix="roll") as directory:
        path = f"{directory}/{'s' * 200}"[:107]
        readiness = ReadinessSocket(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", path)
        assert len(readiness.receive()) == 1


def test_a_directory_that_is_missing_is_an_error() -> None:
    with pytest.raises(OSError):
        ReadinessSocket("/nonexistent/s")


def test_a_hook_is_answered(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    readiness = ReadinessSocket(path)
    monkeypatch.setenv(SOCKET_VARIABLE, path)
    channel = Channel(patience_secs=0.01)
    assert channel.ask(Message(READY, {"AGE": "1"})) is None
    (datagram,) = readiness.receive()
    assert decode(datagram.data) == Message(READY, {"AGE": "1"})
    assert datagram.pid == os.getpid()
    assert datagram.answer is not None
    datagram.answer.send(Message(ACK, {"SURPLUS": "0"}))
    assert channel.ask(Message(READY)) == Message(ACK, {"SURPLUS": "0"})


def test_an_answer_is_given_once(path: str) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    answer = Answer(theirs.detach())
    answer.send(Message(ACK))
    answer.send(Message(ACK))
    answer.drop()
    with mine:
        assert mine.recv(1000) == encode(Message(ACK))
        assert mine.recv(1000) == b""


def test_a_sender_that_has_gone_or_does_not_read_is_no_error() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    answer = Answer(theirs.detach())
    mine.close()
    answer.send(Message(ACK))

    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine:
        theirs.setblocking(False)
        try:
            while True:
                theirs.send(b"x" * 1000)
        except BlockingIOError:
            pass
        theirs.setblocking(True)
        Answer(theirs.detach()).send(Message(ACK))  # returns


def test_descriptors_that_come_uncalled_for_are_closed(path: str, sender: socket.socket) -> None:
    readiness = ReadinessSocket(path)
    sender.connect(path)
    before = open_descriptors()
    with socket.socket() as one, socket.socket() as two, Path(__file__).open() as file:
        socket.send_fds(sender, [b"many"], [one.fileno(), two.fileno(), one.fileno()])
        socket.send_fds(sender, [b"no socket"], [file.fileno()])
        socket.send_fds(sender, [b"too many"], [one.fileno()] * 30)
        socket.send_fds(sender, [b""], [one.fileno()])
    many, no_socket, too_many, empty = readiness.receive()
    assert no_socket.answer is None
    for datagram in (many, too_many, empty):
        datagram.close()
        if datagram.answer is not None:
            datagram.answer.drop()
    assert open_descriptors() == before
    assert {one.pid for one in (many, no_socket, too_many, empty)} == {os.getpid()}


def test_a_datagram_that_is_too_long_is_seen_to_be(path: str, sender: socket.socket) -> None:
    readiness = ReadinessSocket(path)
    sender.sendto(b"READY=1\nX=" + b"x" * MAX_BYTES, path)
    (datagram,) = readiness.receive()
    with pytest.raises(BadMessage):
        decode(datagram.data)


def test_a_flood_is_taken_in_bursts(path: str, sender: socket.socket) -> None:
    readiness = ReadinessSocket(path)
    sender.connect(path)
    sent = 0
    try:
        while sent < 1000:
            sender.send(b"x")
            sent += 1
    except BlockingIOError:
        pass
    received = 0
    while burst := readiness.receive():
        assert len(burst) <= 64
        received += len(burst)
    assert received == sent
