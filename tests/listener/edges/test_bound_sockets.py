"""Sockets that go on being received from by another, in whose place nothing is bound anew."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket
from supervisor_roll.listener.edges.user_socket import Bound
from tests.harness.waiting import wait_until
from tests.listener.edges.conftest import UID, send


def received(readiness: ReadinessSocket, number: int) -> list[bytes]:
    found: list[bytes] = []

    def enough() -> bool:
        for one in readiness.receive():
            found.append(one.data)
            one.close()
        return len(found) >= number

    wait_until(enough, 30, f"{number} messages", 0.01)
    return found


def duplicates(readiness: ReadinessSocket) -> list[Bound]:
    return [
        Bound(one.uid, os.dup(one.fd), one.device, one.inode, one.told) for one in readiness.bound
    ]


def test_what_comes_while_it_is_silenced_stays_in_the_queue_for_who_comes_next(
    readiness: ReadinessSocket, path: Path
) -> None:
    with readiness.silenced() as silent:
        assert silent
        send(path, b"one")
        time.sleep(0.1)  # it has time to take it
        before = path.stat().st_ino, (path / str(UID)).stat().st_ino
        another = ReadinessSocket(str(path), bound=duplicates(readiness))
        try:
            assert received(another, 1) == [b"one"]
            send(path, b"two")
            assert received(another, 1) == [b"two"]
            assert (path.stat().st_ino, (path / str(UID)).stat().st_ino) == before
            assert another.handled == 2
            assert not another.check()
        finally:
            another.close()


def test_it_is_not_silent_while_something_waits(readiness: ReadinessSocket, path: Path) -> None:
    send(path, b"one")
    wait_until(lambda: readiness.held_back, 30, "it has come", 0.01)
    with readiness.silenced() as silent:
        assert not silent
    assert received(readiness, 1) == [b"one"]
    with readiness.silenced() as silent:
        assert silent


def test_it_is_not_silent_while_a_descriptor_is_not_closed(
    readiness: ReadinessSocket, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one, tempfile.TemporaryFile() as file:
        one.connect(f"{path}/{UID}")
        socket.send_fds(one, [b"one"], [file.fileno()])
        wait_until(lambda: readiness.held_back, 30, "it has come", 0.01)
        [datagram] = readiness.receive()
        with readiness.silenced() as silent:
            assert not silent
        datagram.answer.drop()

    def is_silent() -> bool:
        with readiness.silenced() as silent:
            return silent

    wait_until(is_silent, 30, "it is closed", 0.01)


def test_strangers_are_counted_too(path: Path) -> None:
    readiness = ReadinessSocket(str(path), lambda pid: None)
    try:
        send(path, b"one")
        wait_until(lambda: readiness.handled == 1, 30, "it was ignored", 0.01)
        assert list(readiness.receive()) == []
    finally:
        readiness.close()


def test_one_whose_path_is_another_by_now_is_bound_again_and_what_it_had_is_heard(
    readiness: ReadinessSocket, path: Path
) -> None:
    with readiness.silenced():
        send(path, b"one")
        (path / str(UID)).unlink()
        another = ReadinessSocket(str(path), bound=duplicates(readiness))
        try:
            send(path, b"two")
            assert sorted(received(another, 2)) == [b"one", b"two"]
        finally:
            another.close()


def test_one_that_nobody_can_write_to_says_so_and_goes_on(
    readiness: ReadinessSocket, path: Path
) -> None:
    path.chmod(0o777)  # as it would be refused to a listener that starts
    with readiness.silenced():
        another = ReadinessSocket(str(path), bound=duplicates(readiness))
        try:
            assert "nobody can write" in another.wrong
            path.chmod(0o755)
            assert another.check()
            assert not another.wrong
            send(path, b"one")
            assert received(another, 1) == [b"one"]
        finally:
            another.close()


def test_who_was_told_of_by_workers_alone_goes_on_taking_nobodys_place(path: Path) -> None:
    readiness = ReadinessSocket(str(path))
    try:
        [own] = duplicates(readiness)
        told = Bound(own.uid, own.fd, own.device, own.inode, told=True)
        another = ReadinessSocket(str(path), bound=[told])
        assert [one.told for one in another.bound] == [True]
        another.close()
    finally:
        readiness.close()
