"""Who connects is answered at once; whoever it is, nothing is waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from selectors import DefaultSelector

import pytest

from supervisor_roll.listener.configuration.sections import Configuration
from supervisor_roll.listener.edges import share
from supervisor_roll.listener.in_service.agents import MOST_AT_ONCE, Agents
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.settings import Settings
from tests.harness import wait_until

HERE = ("127.0.0.1", 0)


class Listener:
    """What the listener's loop does with its agents."""

    def __init__(self) -> None:
        self.line, self.asked = "up 100%\n", list[list[str]]()
        self.settings = {"web": Settings(agent_listen=HERE)}
        self.bad: dict[str, BadSetting] = {}
        self.selector = DefaultSelector()
        self.agents = Agents(self.selector, self.answer, self.configuration)

    def configuration(self) -> Configuration:
        programs = {"web:1": "web", "web:2": "web"}
        return Configuration("/etc/supervisord.conf", self.settings, self.bad, programs, ())

    def answer(self, namespecs: list[str]) -> str:
        self.asked.append(namespecs)
        return self.line

    def turn(self) -> int:
        """One pass of the loop; how many sockets had something."""
        ready = self.selector.select(0)
        for key, _ in ready:
            self.agents.tell(key.data)
        return len(ready)

    @property
    def address(self) -> tuple[str, int]:
        [key] = self.selector.get_map().values()
        assert isinstance(key.fileobj, socket.socket)
        found: tuple[str, int] = key.fileobj.getsockname()
        return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    one.agents.serve()
    yield one
    one.settings = {}
    one.agents.serve()
    assert not one.selector.get_map()
    assert not one.agents.listens


def client(listener: Listener, says: bytes = b"") -> socket.socket:
    found = socket.create_connection(listener.address, timeout=30)
    found.sendall(says)
    return found


def read(one: socket.socket) -> bytes:
    with one, one.makefile("rb") as file:
        return file.read()


@pytest.mark.parametrize("says", [b"", b"hello\n", b"x" * 4000])
def test_it_says_its_line_and_closes(listener: Listener, says: bytes) -> None:
    one = client(listener, says)
    listener.turn()
    assert read(one) == b"up 100%\n"
    assert listener.asked == [["web:1", "web:2"]]


def test_of_what_is_not_known_nothing_is_said(listener: Listener) -> None:
    listener.line = ""
    one = client(listener)
    listener.turn()
    assert read(one) == b""


def test_a_silent_client_is_not_waited_for_as_supervisord_is(listener: Listener) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60.0)  # as the listener has one: an accepted socket takes it over
    try:
        one = client(listener)
        began = time.monotonic()
        listener.turn()
        assert time.monotonic() < began + 50
        assert read(one) == b"up 100%\n"
    finally:
        socket.setdefaulttimeout(before)


def test_the_silent_and_the_many_delay_nobody(listener: Listener) -> None:
    silent = [client(listener) for _ in range(2 * MOST_AT_ONCE)]
    last = client(listener)
    turns = 0
    while listener.turn():
        turns += 1
    assert turns == 3  # in each of which the listener does all else, too
    assert len(listener.asked) == 3
    assert read(last) == b"up 100%\n"
    for one in silent:
        one.close()


def test_a_client_that_says_nothing_is_not_waited_for(listener: Listener) -> None:
    [key] = listener.selector.get_map().values()
    socket.setdefaulttimeout(30)  # as in the listener's process
    try:
        with client(listener):
            [accepted] = key.data.clients()
    finally:
        socket.setdefaulttimeout(None)
    with accepted:
        assert accepted.gettimeout() == 0


def test_who_connects_without_end_gets_a_share_of_the_time(listener: Listener) -> None:
    now, used = 0.0, [share.BURST_SECS + 0.01, 0.0]
    [key] = listener.selector.get_map().values()
    key.data.share = share.Share(clock=lambda: now, used=lambda: used.pop())
    one = client(listener)
    listener.turn()
    assert read(one) == b"up 100%\n"
    assert not listener.selector.get_map()  # nobody else is heard for now
    assert listener.agents.next_deadline() is not None
    now = 100.0
    wait_until(lambda: listener.agents.resume() or listener.selector.get_map(), 5)
    assert listener.agents.next_deadline() is None
    used += [0.0, 0.0]
    one = client(listener)
    listener.turn()
    assert read(one) == b"up 100%\n"


def test_an_address_that_is_taken_is_told_and_tried_again(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(HERE) as other:
        port = other.getsockname()[1]
        listener.settings["api"] = Settings(agent_listen=("127.0.0.1", port))
        for _ in range(2):
            listener.agents.serve()
        [line] = [one for one in caplog.messages if "[roll:api]" in one]
        assert line.endswith(f"cannot listen at 127.0.0.1 port {port}: Address already in use")
        assert listener.agents.trouble == line
    listener.settings["api"] = Settings(agent_listen=HERE)
    listener.agents.serve()
    assert listener.agents.trouble == ""
    assert len(listener.selector.get_map()) == 2


@pytest.mark.parametrize("address", [("256.1.1.1", 1), ("::zz", 1), ("192.0.2.1", 1)])
def test_what_is_no_address_of_this_host_is_told(
    listener: Listener, address: tuple[str, int]
) -> None:
    listener.settings["api"] = Settings(agent_listen=address)
    listener.agents.serve()
    assert "[roll:api] agent_listen: cannot listen at" in listener.agents.trouble
    assert client(listener)


def test_a_section_that_has_become_bad_keeps_its_socket(listener: Listener) -> None:
    before = listener.address
    listener.settings = {}
    listener.bad = {"web": BadSetting("max_surge", "x", "must be a count")}
    listener.agents.serve()
    assert listener.address == before
    listener.bad = {}


def test_another_address_is_listened_at_instead(listener: Listener) -> None:
    before = listener.address
    listener.settings = {"web": Settings(agent_listen=("127.0.0.2", 0))}
    listener.agents.serve()
    assert listener.address[0] == "127.0.0.2"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(before, timeout=30)
