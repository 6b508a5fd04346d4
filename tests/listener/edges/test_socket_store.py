"""Listening sockets are kept while they are of use, given out as they are, and closed in time."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.listener.edges import socket_store
from supervisor_roll.listener.edges.process_stat import stat_of
from supervisor_roll.listener.edges.socket_store import MAX_SOCKETS, SocketStore, StoredSocket
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.messages import Listening, Loaded, Ready, Starting
from tests.fakes.arbiter_rollouts import BIND, OLD, UNIX, kept, store_of, what_it_is
from tests.fakes.program import SUPERVISORD_PID, Program, open_socket
from tests.fakes.site import PIDS, Site
from tests.harness.descriptors import assert_none_left_open, open_descriptors
from tests.harness.hostile import lingering

FIRST, SECOND, OTHER = InstanceId(1, 1), InstanceId(2, 2), InstanceId(3, 0)


def is_open(held: StoredSocket) -> bool:
    try:
        os.fstat(held.fd)
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert_none_left_open(before)


# --- the store by itself ------------------------------------------------------------------------


def held(*addresses: str) -> list[StoredSocket]:
    return [StoredSocket(address, open_socket()) for address in addresses]


def test_what_is_taken_is_for_others_of_the_same_program_and_replaced_by_the_next() -> None:
    store = SocketStore()
    first, again = held("a", "b"), held("a")
    store.put(FIRST, "myapp", first)
    assert store.has(FIRST)
    assert not store.has(SECOND)
    assert store.for_another(SECOND, "myapp") == first
    assert store.for_another(FIRST, "myapp") == []  # it has them itself
    assert store.for_another(SECOND, "other") == []
    store.put(FIRST, "myapp", again)
    assert not any(map(is_open, first))
    assert store.for_another(SECOND, "myapp") == again
    store.drop(FIRST)
    assert not any(map(is_open, again))
    assert not store.has(FIRST)
    store.drop(FIRST)  # none of it is held


def test_of_several_arbiters_the_youngest_hands_on_its_sockets() -> None:
    store = SocketStore()
    for arbiter in (SECOND, FIRST, OTHER):
        store.put(arbiter, "myapp", held(str(arbiter.pid)))
    assert [one.address for one in store.for_another(InstanceId(9, 9), "myapp")] == ["2"]
    assert [one.address for one in store.for_another(SECOND, "myapp")] == ["1"]
    store.release("myapp")


def test_a_program_is_released_with_all_of_its_arbiters_and_no_other() -> None:
    store = SocketStore()
    for arbiter, name in ((FIRST, "myapp"), (SECOND, "myapp"), (OTHER, "other")):
        store.put(arbiter, name, held("a"))
    assert store.programs == {"myapp", "other"}
    store.release("myapp")
    assert store.programs == {"other"}
    assert not store.has(SECOND)
    store.release("other")
    store.release("other")


def test_others_are_dropped_but_those_that_are_alive() -> None:
    store, fourth = SocketStore(), InstanceId(4, 4)
    for arbiter, name in ((FIRST, "myapp"), (SECOND, "myapp"), (OTHER, "other"), (fourth, "myapp")):
        store.put(arbiter, name, held("a"))
    store.drop_others(SECOND, "myapp", [fourth])
    assert [store.has(one) for one in (FIRST, SECOND, OTHER, fourth)] == [False, True, True, True]
    store.release("myapp")
    store.release("other")


def test_one_socket_can_be_forgotten() -> None:
    store, (one, other) = SocketStore(), held("a", "b")
    store.put(FIRST, "myapp", [one, other])
    store.forget(one)
    store.forget(one)
    assert store.for_another(SECOND, "myapp") == [other]
    assert not is_open(one)
    store.release("myapp")


def test_only_a_socket_that_listens_is_one() -> None:
    listener = open_socket()
    assert socket_store.listening(listener)
    os.close(listener)
    assert not socket_store.listening(listener)
    with socket.socket() as one, Path(__file__).open() as file:
        assert not socket_store.listening(one.fileno())
        assert not socket_store.listening(file.fileno())


# --- taken from a process -----------------------------------------------------------------------

CHILD = """
import socket, sys
one = socket.socket(); one.bind(("127.0.0.1", 0)); one.listen()
other = socket.socket(socket.AF_UNIX); other.bind(""); other.listen()
mute = socket.socket()
print(one.fileno(), other.fileno(), mute.fileno(), one.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[tuple[int, list[int]]]:
    """A process that listens: its pid; its TCP and Unix socket, one that does not, a port."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process.pid, [int(word) for word in process.stdout.readline().split()]
        process.communicate(timeout=60)


def identity(pid: int) -> InstanceId:
    found = stat_of(pid)
    return found.id


def test_the_sockets_of_a_process_are_recovered(child: tuple[int, list[int]]) -> None:
    pid, (tcp, unix, _, port) = child
    found = socket_store.recovered(identity(pid), [("a", tcp), ("b", unix)])
    assert [one.address for one in found] == ["a", "b"]
    assert all(socket_store.listening(one.fd) for one in found)
    assert not any(os.get_inheritable(one.fd) for one in found)
    with socket.socket(fileno=found[0].fd) as mine:
        assert mine.getsockname() == ("127.0.0.1", port)
        with socket.create_connection(("127.0.0.1", port), 10):
            mine.settimeout(10)
            mine.accept()[0].close()  # the very same socket: the connection is for both
    os.close(found[1].fd)


@pytest.mark.parametrize("which", ["no listener", "none", "standard output"])
def test_what_is_no_listening_socket_of_the_process_is_refused(
    child: tuple[int, list[int]], which: str
) -> None:
    pid, (tcp, _, mute, _) = child
    number = {"no listener": mute, "none": 999, "standard output": 1}[which]
    with pytest.raises(OSError):
        socket_store.recovered(identity(pid), [("a", tcp), ("b", number)])


def test_a_pid_that_was_given_anew_since_has_no_sockets_for_us(
    child: tuple[int, list[int]],
) -> None:
    pid, (tcp, *_) = child
    former = identity(pid)._replace(started=identity(pid).started - 1)
    with pytest.raises(OSError, match="it has gone"):
        socket_store.recovered(former, [("a", tcp)])


def test_of_a_process_that_is_gone_nothing_is_recovered() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(60)
    with pytest.raises(OSError) as caught:
        socket_store.recovered(InstanceId(process.pid, 1), [("a", 3)])
    assert caught.value.errno == errno.ESRCH


# --- handed in ------------------------------------------------------------------------------------


@pytest.fixture
def site(unix_site: Site) -> Site:
    return unix_site


def assert_kept(site: Site, program: Program) -> None:
    theirs = [what_it_is(fd) for fd in program.sockets.values()]
    assert [what_it_is(one.fd) for one in kept(site)] == theirs


def test_an_arbiters_sockets_are_kept_with_their_numbers(site: Site) -> None:
    program = site.programs["myapp"]
    assert [one.address for one in kept(site)] == [BIND, UNIX]
    assert_kept(site, program)
    assert site.arbiter(program).sockets == list(program.sockets.items())


@pytest.mark.parametrize(
    "fields", [{"sockets": (BIND, UNIX, "fd://3")}, {"sockets": (BIND,)}, {"sockets": ()}, {}]
)
def test_sockets_that_do_not_match_their_addresses_are_not_taken(
    site: Site, fields: dict[str, Any]
) -> None:
    before, program = kept(site), site.programs["myapp"]
    assert site.ignores(OLD, Listening(**fields), fds=list(program.sockets.values()))
    assert kept(site) == before


def test_what_is_no_listening_socket_is_not_taken(site: Site) -> None:
    before = kept(site)
    with Path(__file__).open() as file, socket.socket() as mute:
        for fd in (file.fileno(), mute.fileno()):
            assert site.ignores(OLD, Listening(sockets=(BIND,)), fds=[fd])
    assert site.ignores(OLD, Listening(sockets=(BIND,)))
    assert kept(site) == before


@pytest.mark.parametrize("numbers", ["", "7", "x\ny", "1\n2\n3"])
def test_numbers_that_cannot_be_are_no_reason_not_to_keep_sockets(site: Site, numbers: str) -> None:
    program = site.programs["myapp"]
    arbiter = site.arbiter(program)
    before = arbiter.sockets
    answer = site.hear(
        OLD, Listening(sockets=(BIND, UNIX), fds=(numbers,)), fds=list(program.sockets.values())
    )
    site.settle()
    assert answer.sent is not None
    assert arbiter.sockets == before


def test_a_strangers_sockets_are_not_taken(site: Site) -> None:
    before = kept(site)
    site.fork(PIDS + 400, PIDS + 300, "a stranger")
    fd = open_socket()
    for pid in (PIDS + 400, 0):
        site.hear(pid, Listening(sockets=(BIND,)), fds=[fd])
    os.close(fd)
    assert kept(site) == before
    assert store_of(site).programs == {"myapp"}


def test_nobody_is_left_with_what_was_meant_for_one_that_wants_no_answer(site: Site) -> None:
    site.programs["myapp"].halt()
    site.fork(PIDS + 60, SUPERVISORD_PID, "gunicorn: master")
    site.supervisord.put("myapp", PIDS + 60, "STARTING")
    site.settle()
    site.hear(PIDS + 60, Starting(binds=(BIND,)), answered=False)
    site.settle()
    assert site.coordinator.registry.siblings("myapp"), "it was heard"


def test_a_listener_that_has_lost_them_takes_them_from_the_arbiter(site: Site) -> None:
    program = site.programs["myapp"]
    site.restart()
    assert_kept(site, program)


def test_where_it_may_not_a_worker_hands_them_in(site: Site) -> None:
    program = site.programs["myapp"]
    site.table.untraceable = True
    site.restart()
    assert kept(site) == []
    program.say(OLD + 1, Ready)
    site.settle()
    assert isinstance(site.answers[-1].message, Listening)
    assert_kept(site, program)
    program.say(OLD + 1, Loaded)
    site.settle()
    assert not site.answers[-1].sent.want_sockets


@pytest.mark.parametrize(
    ("binds", "facts"),
    [([], {}), (["fd://0"], {}), ([BIND], {"reuse_port": True}), ([BIND], {"listens": False})],
)
def test_nobody_is_asked_for_sockets_that_are_of_no_use(
    binds: list[str], facts: dict[str, str]
) -> None:
    site = Site()
    site.table.untraceable = True
    program = site.start("myapp", 1, binds=binds)
    program.facts |= facts
    site.settle()
    site.restart()
    program.say(OLD + 1, Ready)
    site.settle()
    assert not site.answers[-1].sent.want_sockets
    site.close()


# --- what a worker may not have us hold ---------------------------------------------------------


@pytest.mark.parametrize("numbers", ["\u00b2", "9" * 5000, "9" * 20, "-1", ""])
def test_whatever_the_numbers_are_nothing_leaks_and_others_are_rolled(
    site: Site, numbers: str
) -> None:
    program = site.programs["myapp"]
    site.start("other", 1, pid=PIDS + 500)
    site.settle()
    fd = next(iter(program.sockets.values()))
    site.hear(OLD + 1, Listening(sockets=(BIND,), fds=(numbers,)), fds=[fd])
    site.settle()
    site.restart()
    site.ask("myapp", strategy="arbiter")
    job = site.ask("other", strategy="workers")
    site.pass_time(90)
    assert ("other", "complete") in site.reports(job)


def test_a_worker_hands_in_no_socket_but_its_arbiters(site: Site) -> None:
    before = kept(site)
    fd = open_socket()
    answer = site.hear(OLD + 1, Listening(sockets=(BIND,), fds=("3",)), fds=[fd])
    site.settle()
    os.close(fd)
    assert answer is None or answer.sent is None
    assert kept(site) == before


def test_whose_sockets_they_are(child: tuple[int, list[int]]) -> None:
    pid, (tcp, *_) = child
    theirs = socket_store.recovered(identity(pid), [("a", tcp)])
    with socket.socket() as ours:
        assert socket_store.opened_by(pid, [one.fd for one in theirs])
        assert not socket_store.opened_by(pid, [*(one.fd for one in theirs), ours.fileno()])
    for one in theirs:
        os.close(one.fd)


# --- sockets whose close lasts ------------------------------------------------------------------


def lasting() -> tuple[StoredSocket, socket.socket]:
    """A socket whose close takes ten minutes, since one is queued in it that does; its end."""
    one, other = lingering()
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    socket.send_fds(left, [b"x"], [one.fileno()])
    one.close()
    left.close()
    return StoredSocket("a", right.detach()), other


@pytest.fixture
def slow() -> Iterator[SocketStore]:
    """A store in which the program ``slow`` has had ten such sockets, and they were dropped."""
    store, ends = SocketStore(), []
    for _ in range(10):
        stored, other = lasting()
        ends.append(other)
        store.put(OTHER, "slow", [stored])
    store.drop(OTHER)
    yield store
    for one in ends:
        one.close()


def test_whose_close_lasts_costs_its_own_program_alone(slow: SocketStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        slow.put(FIRST, "myapp", [StoredSocket("b", os.dup(server.fileno()))])
    slow.release("myapp")
    with socket.create_server(address):
        pass  # as its program does that is started again


def test_what_is_being_closed_counts_among_what_a_program_may_have(slow: SocketStore) -> None:
    for _ in range(MAX_SOCKETS // 100):
        assert not slow.is_full("slow")
        slow.put(OTHER, "slow", [StoredSocket("a", os.dup(0)) for _ in range(100)])
        slow.drop(OTHER)
    assert slow.is_full("slow")
    assert not slow.is_full("myapp")


def test_it_is_known_that_some_are_being_closed(slow: SocketStore) -> None:
    assert slow.closing
    store = SocketStore()
    assert not store.closing
    with socket.create_server(("127.0.0.1", 0)) as server:
        store.put(FIRST, "myapp", [StoredSocket("b", os.dup(server.fileno()))])
        assert not store.closing
        store.drop(FIRST)
        assert not store.closing


def test_sockets_are_not_taken_of_a_program_that_has_too_many(site: Site) -> None:
    before, program = kept(site), site.programs["myapp"]
    descriptors = store_of(site)._descriptors["myapp"]
    descriptors.came(MAX_SOCKETS)
    assert site.ignores(OLD, Listening(sockets=(BIND, UNIX)), fds=list(program.sockets.values()))
    assert kept(site) == before
