"""Sockets are kept for an arbiter that crashed, and refuse at once where it was stopped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.listener.coordinator import RETRY_SECS
from supervisor_roll.listener.edges import socket_store
from supervisor_roll.listener.rollouts.socket_keeper import CRASHED_SECS
from supervisor_roll.wire.messages import Ack, Starting, Stopping
from tests.fakes.arbiter_rollouts import BIND, OLD, UNIX, kept, store_of, what_it_is
from tests.fakes.program import Program, open_socket
from tests.fakes.site import PIDS, Site


@pytest.fixture
def site(unix_site: Site) -> Site:
    return unix_site


def crash_and_restart(site: Site, *binds: str) -> Program:
    site.programs["myapp"].halt()
    site.settle()
    again = site.start("myapp", 2, PIDS + 50, binds=binds)
    site.settle()
    return again


# --- kept for one that crashed, released for one that was stopped -------------------------------


def test_an_arbiter_that_crashed_is_started_again_on_the_same_sockets(site: Site) -> None:
    before = [what_it_is(one.fd) for one in kept(site)]
    again = crash_and_restart(site, BIND, UNIX)
    assert [what_it_is(fd) for fd in again.sockets.values()] == before
    site.pass_time(CRASHED_SECS + 1)
    assert [what_it_is(one.fd) for one in kept(site)] == before
    assert store_of(site).has(again.id)
    assert again.serving == [1, 2]


def test_what_it_is_not_configured_with_any_more_does_not_stand_in_its_way(site: Site) -> None:
    """It gets all of them, since an address can be written in many ways, but ours are closed."""
    before = {one.address: what_it_is(one.fd) for one in kept(site)}
    site.programs["myapp"].halt()
    site.settle()
    again = site.start("myapp", 2, PIDS + 50, binds=["127.0.0.1:9000", UNIX])
    while site.inbox:
        site.inbox.popleft()()  # it asks
    site.coordinator.pump()
    assert [one.address for one in kept(site)] == [UNIX]  # before it has handed its own in
    site.settle()
    starting = next(
        one for one in site.answers if isinstance(one.message, Starting) and one.pid == again.id.pid
    )
    assert starting.sent.sockets == (BIND, UNIX)
    assert what_it_is(again.sockets[UNIX]) == before[UNIX]
    assert [one.address for one in kept(site)] == ["127.0.0.1:9000", UNIX]
    assert before[BIND] not in {what_it_is(one.fd) for one in kept(site)}


def test_what_is_given_out_is_right_even_if_it_is_released_meanwhile(site: Site) -> None:
    """Between what an arbiter asks and its answer its program may be stopped."""
    before = {what_it_is(one.fd) for one in kept(site)}
    site.programs["myapp"].halt()
    site.settle()
    again = site.start("myapp", 2, PIDS + 50, binds=[BIND, UNIX])
    while site.inbox:
        site.inbox.popleft()()  # it asks
    store_of(site).release("myapp")
    others = [open_socket(), open_socket()]  # by the numbers that were closed
    site.settle()
    assert {what_it_is(fd) for fd in again.sockets.values()} == before
    for fd in others:
        os.close(fd)


def test_one_that_is_not_started_again_is_released_after_a_while(site: Site) -> None:
    """It exited, and its autorestart is off."""
    site.programs["myapp"].halt()
    site.pass_time(CRASHED_SECS - 1)
    assert len(kept(site)) == 2
    site.pass_time(1.1)
    assert kept(site) == []
    assert site.coordinator.next_deadline() is None


@pytest.mark.parametrize("state", ["STARTING", "BACKOFF", "RUNNING"])
def test_one_that_takes_long_to_start_again_is_waited_for(site: Site, state: str) -> None:
    site.programs["myapp"].halt()
    site.settle()
    site.supervisord.put("myapp", PIDS + 60, state)
    site.settle()
    site.pass_time(3 * CRASHED_SECS)
    assert len(kept(site)) == 2


@pytest.mark.parametrize("state", ["STOPPING", "STOPPED", "FATAL", "UNKNOWN", ""])
def test_an_intended_stop_refuses_at_once(site: Site, state: str) -> None:
    site.supervisord.put("myapp", OLD, state)
    if not state:
        site.supervisord.drop("myapp")  # not even configured any more
    site.settle()
    assert kept(site) == []
    assert not store_of(site).programs


@pytest.mark.parametrize("state", ["STARTING", "RUNNING", "BACKOFF", "EXITED"])
def test_no_other_state_does(site: Site, state: str) -> None:
    site.supervisord.put("myapp", OLD, state)
    site.settle()
    assert len(kept(site)) == 2


def test_while_supervisord_does_not_answer_nothing_is_released(site: Site) -> None:
    site.programs["myapp"].halt()
    site.supervisord.unreachable = True
    site.pass_time(3 * CRASHED_SECS)
    assert len(kept(site)) == 2
    site.supervisord.unreachable = False
    site.pass_time(RETRY_SECS)
    assert kept(site) == []


def test_not_even_in_the_moment_in_which_it_is_looked_at(site: Site) -> None:
    site.programs["myapp"].halt()
    site.settle()
    site.supervisord.put("myapp", OLD, "BACKOFF")
    site.settle()
    site.supervisord.faults["processes"] = (Faults.FAILED, "not now")
    site.coordinator.registry.stale()
    site.pass_time(2 * CRASHED_SECS)
    assert len(kept(site)) == 2


def test_when_supervisord_shuts_down_all_is_released(site: Site) -> None:
    site.supervisord.faults["processes"] = (Faults.SHUTDOWN_STATE, "")
    site.supervisord.put("myapp", OLD, "STOPPING")
    site.settle()
    assert kept(site) == []


# --- the paths of Unix sockets --------------------------------------------------------------------


def stopping(site: Site, pid: int = OLD) -> bool:
    """Whether an arbiter is told to keep its paths, when it has stopped."""
    answer = site.hear(pid, Stopping(paths=("/run/myapp.sock",)))
    site.settle()
    return answer.sent.keep


@pytest.mark.parametrize(
    ("state", "keep"),
    [
        ("STOPPING", False),
        ("STOPPED", False),
        ("FATAL", False),
        ("RUNNING", True),
        ("STARTING", True),
        ("BACKOFF", True),
        ("EXITED", True),
    ],
)
def test_paths_stay_for_one_that_is_started_again(site: Site, state: str, keep: bool) -> None:
    site.supervisord.put("myapp", OLD, state)
    assert stopping(site) is keep


def test_paths_stay_where_supervisord_does_not_say(site: Site) -> None:
    site.supervisord.faults["processes"] = (Faults.FAILED, "not now")
    answer = site.hear(OLD, Stopping(paths=("/run/myapp.sock",)))
    del site.supervisord.faults["processes"]
    site.pass_time(RETRY_SECS)
    assert answer.sent.keep


def test_paths_go_when_supervisord_shuts_down(site: Site) -> None:
    site.supervisord.faults["processes"] = (Faults.SHUTDOWN_STATE, "")
    assert not stopping(site)


def test_paths_stay_for_the_other_arbiter(site: Site) -> None:
    old = site.programs["myapp"]
    site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    successor = site.programs["myapp:myapp.successor"]
    site.pass_time(30)
    assert site.programs["myapp"] is successor
    assert old.keeps_paths is True
    successor.stop()
    site.settle()
    assert successor.keeps_paths is False


def test_paths_go_where_both_arbiters_are_stopped_at_once(site: Site) -> None:
    site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    successor = site.programs["myapp:myapp.successor"]
    site.supervisord.put("myapp", OLD, "STOPPING")
    # Neither has ended when the other says that it has stopped.
    paths = Stopping(paths=("/run/myapp.sock",))
    answers = [site.hear(pid, paths) for pid in (OLD, successor.id.pid)]
    site.settle()
    sent = [one.sent for one in answers if one is not None]
    assert [one and one.keep for one in sent] == [True, False]


def test_beside_another_arbiter_only_those_paths_go_that_it_is_not_configured_with(
    site: Site,
) -> None:
    site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    answer = site.hear(OLD, Stopping(paths=("/run/myapp.sock", "/run/dropped.sock")))
    site.settle()
    assert answer.sent is not None
    assert answer.sent == Ack(keep=True, remove=("/run/dropped.sock",))


def test_a_path_may_be_written_in_several_ways(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    binds = [f"unix:{tmp_path}/link/one", "127.0.0.1:80", "unix:@two", "fd://0"]
    paths = [f"{tmp_path}/one", f"{tmp_path}/two", f"{tmp_path}/link/two"]
    assert socket_store.unused(paths, binds) == paths[1:]
    assert socket_store.unused([""], binds) == []


def test_the_paths_of_a_discarded_successor_stay(site: Site) -> None:
    site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    successor = site.programs["myapp:myapp.successor"]
    site.ask("myapp", kind="abort")
    assert successor.ended
    assert successor.keeps_paths is True
