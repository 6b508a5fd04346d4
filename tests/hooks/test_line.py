"""A line to the listener is kept from one message to the next, as long as it leads there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_roll.hooks.line import Line
from supervisor_roll.wire.datagram import encode
from supervisor_roll.wire.messages import Ready
from tests.harness.descriptors import open_descriptors, settled_descriptors
from tests.hooks.raw_listener import RawListener

DATA = encode(Ready())
NOBODY = 65534


@pytest.fixture
def line(path: Path) -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


def test_it_is_connected_once_for_all_that_is_sent(listener: RawListener, line: Line) -> None:
    before = settled_descriptors()
    assert line.send(DATA, [], 30)
    # Nobody could connect there any more.
    listener.path.rename(listener.path.with_name("elsewhere"))
    for _ in range(3):
        assert line.send(DATA, [], 30)
    assert open_descriptors() == before + 1
    assert [listener.take()[0] for _ in range(4)] == [Ready()] * 4
    line.close()
    line.close()
    assert open_descriptors() == before


def test_a_listener_that_has_restarted_is_told_too(path: Path, line: Line) -> None:
    first = RawListener(path)
    assert line.send(DATA, [], 30)
    first.close()
    assert not line.send(DATA, [], 30)  # there is none
    first.path.unlink()
    second = RawListener(path)
    try:
        assert line.send(DATA, [], 30)
        assert second.take()[0] == Ready()
    finally:
        second.close()


def test_before_a_fork_it_is_connected_to_the_listener_that_there_is(
    path: Path, line: Line
) -> None:
    before = settled_descriptors()
    line.renew()
    assert open_descriptors() == before, "there is none"
    first = RawListener(path)
    line.renew()
    first.path.unlink()  # it still takes what comes, but another one is there
    second = RawListener(path)
    try:
        line.renew()
        second.path.rename(second.path.with_name("elsewhere"))
        assert line.send(DATA, [], 30)
        assert second.take()[0] == Ready()
        line.renew()  # nobody is to be seen there now
        assert open_descriptors() == before + 2  # the listeners' own
    finally:
        first.close()
        second.close()


def test_for_a_full_queue_no_other_connection_is_tried(listener: RawListener, line: Line) -> None:
    assert line.send(DATA, [], 30)
    listener.fill()
    listener.path.rename(listener.path.with_name("elsewhere"))
    assert not line.send(DATA, [], 0)
    assert not line.send(DATA, [], 0.01)
    listener.take()
    assert line.send(DATA, [], 30), "it still leads there"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_another_user_says_nothing_on_it(path: Path, listener: RawListener, line: Line) -> None:
    theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.bind(str(path / str(NOBODY)))
    os.chown(path / str(NOBODY), NOBODY, NOBODY)
    for folder in (path.parent, path.parent.parent):  # the second one holds all of these tests'
        folder.chmod(0o755)
    theirs.settimeout(30)
    assert line.send(DATA, [], 30)
    assert listener.take()[0] == Ready()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            status = 0 if line.send(DATA, [], 30) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with theirs:
        assert theirs.recv(65536) == DATA
    assert listener.holds_nothing()
