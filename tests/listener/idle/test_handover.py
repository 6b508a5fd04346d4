"""What the listener hands to itself: believed only where it is its own."""

from __future__ import annotations

import marshal
import os
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.socket_store import HeldSockets, StoredSocket
from supervisor_roll.listener.edges.user_socket import Bound
from supervisor_roll.listener.idle.handover import Handover, become_stand_in, taken
from supervisor_roll.listener.idle.stand_in import VARIABLE
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.codec import to_json
from tests.harness.descriptors import assert_none_left_open, open_descriptors


def handed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    memory = os.memfd_create("test")
    os.write(memory, data)
    monkeypatch.setenv(VARIABLE, str(memory))


def handover(bound: int, held: int, pid: int = 0) -> Handover:
    sockets = [HeldSockets(InstanceId(2, 3), "web", [StoredSocket("x", held)])]
    return Handover(pid or os.getpid(), 1, [Bound(0, bound, 1, 2, told=True)], sockets)


def test_one_that_was_just_started_takes_nothing() -> None:
    assert VARIABLE not in os.environ
    assert taken() is None


def test_what_was_handed_over_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound, socket.socket() as held:
        held.listen()
        before = open_descriptors()
        given = handover(bound.fileno(), held.fileno())
        for one in (bound, held):
            one.set_inheritable(True)
        handed(monkeypatch, marshal.dumps({"handover": to_json(given)}))
        assert taken() == given
        assert not bound.get_inheritable()
        assert not held.get_inheritable()
        assert_none_left_open(before)
        assert taken() is None


def test_what_is_not_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound,
        socket.socket() as held,
        socket.socket() as other,
        tempfile.TemporaryFile() as file,
    ):
        held.listen()
        for given in (
            handover(bound.fileno(), held.fileno(), pid=os.getppid()),
            handover(held.fileno(), held.fileno()),
            handover(file.fileno(), held.fileno()),
            handover(bound.fileno(), other.fileno()),
            handover(bound.fileno(), bound.fileno()),
            handover(bound.fileno(), 99999),
        ):
            handed(monkeypatch, marshal.dumps({"handover": to_json(given)}))
            with pytest.raises(BadMessage):
                taken()
    for data in (b"", b"nonsense", marshal.dumps({}), marshal.dumps({"handover": "[]"})):
        handed(monkeypatch, data)
        with pytest.raises(BadMessage):
            taken()
    for number in ("x", "99999", ""):
        monkeypatch.setenv(VARIABLE, number)
        with pytest.raises(BadMessage):
            taken()


def test_where_it_cannot_be_executed_all_is_as_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound, socket.socket() as held:
        before = open_descriptors()
        with pytest.raises(FileNotFoundError):
            become_stand_in(handover(bound.fileno(), held.fileno()), [], {}, [], None)
        assert_none_left_open(before)
        assert not bound.get_inheritable()
        assert not held.get_inheritable()
