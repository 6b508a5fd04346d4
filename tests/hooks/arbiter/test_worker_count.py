"""The arbiter's hooks: what a rollout started can be undone, and the next boot waits for nobody."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_roll import hooks
from supervisor_roll.hooks.shared_memory import page_of
from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket
from supervisor_roll.wire.datagram import SOCKET_VARIABLE, decode
from supervisor_roll.wire.messages import Counted, Message, Reloaded
from tests.fakes.gunicorn import FakeArbiter, FakeWorker

Told = Callable[[], list[Message]]


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What the listener has been told since it was last looked at."""
    with tempfile.TemporaryDirectory(prefix="roll") as directory:
        path = str(Path(directory) / "s")
        socket = ReadinessSocket(path)
        monkeypatch.setenv(SOCKET_VARIABLE, path)
        yield lambda: [decode(one.data) for one in socket.receive()]


def ready_arbiter(workers: int, surplus: int = 0, ready: Iterable[int] = ()) -> FakeArbiter:
    """With workers that are ready, and then as many TTIN, after which these are ready as well."""
    server = FakeArbiter(workers)
    server.make_ready(*server.ages)
    for _ in range(surplus):
        server.ttin()
    server.make_ready(*ready)
    return server


# --- surplus ---------------------------------------------------------------------------------


def test_a_worker_that_dies_is_replaced_as_ever() -> None:
    server = ready_arbiter(3)
    server.reap(server.aged(2))
    assert (server.ages, server.num_workers) == ([1, 3, 4], 3)


@pytest.mark.parametrize("ready", [False, True])
def test_a_surplus_worker_that_exits_is_not_replaced(ready: bool) -> None:
    server = ready_arbiter(3, surplus=1)
    assert (server.ages, server.surplus()) == ([1, 2, 3, 4], [4])
    if ready:
        server.make_ready(4)
    server.reap(server.aged(4))
    assert (server.ages, server.num_workers, server.termed) == ([1, 2, 3], 3, [])


def test_an_older_worker_that_dies_beside_a_surplus_one_is_replaced() -> None:
    server = ready_arbiter(2, surplus=1)
    server.reap(server.aged(1))
    assert (server.ages, server.surplus()) == ([2, 3, 4], [3])


def test_once_an_older_one_was_retired_for_it_a_surplus_worker_is_replaced() -> None:
    server = ready_arbiter(3, surplus=1, ready=[4])
    server.ttou()
    assert (server.termed, server.surplus()) == ([1], [])
    server.reap(server.aged(1))
    server.reap(server.aged(4))
    assert (server.ages, server.num_workers) == ([2, 3, 5], 3)


@pytest.mark.parametrize(("ready", "surplus"), [([4], [3]), ([3, 4], [4])])
def test_ttou_settles_the_oldest_of_the_ready_surplus_workers_before_one_that_boots(
    ready: list[int], surplus: list[int]
) -> None:
    server = ready_arbiter(2, surplus=2, ready=ready)
    server.ttou()
    assert server.surplus() == surplus


def test_ttou_after_a_ttin_that_forked_nothing_yet_takes_that_birth_back() -> None:
    """With a drained worker that is still counted and a spawn that fails, say."""
    server = ready_arbiter(2)
    server.spawn_worker = lambda: None
    server.handle_ttin()
    server.num_workers -= 1
    del server.spawn_worker
    server.reap(server.aged(2))
    assert (server.ages, server.surplus()) == ([1, 3], [])


def test_two_surplus_workers_that_exit_take_the_count_back_twice() -> None:
    server = ready_arbiter(2, surplus=2)
    server.reap(server.aged(3))
    assert (server.ages, server.num_workers, server.surplus()) == ([1, 2, 4], 3, [4])
    server.reap(server.aged(4))
    assert (server.ages, server.num_workers) == ([1, 2], 2)


def test_the_only_worker_is_always_replaced() -> None:
    server = ready_arbiter(1, surplus=1)
    server.ttou()  # retires 1; 2 boots still, and stays surplus no more
    server.reap(server.aged(1))
    server.reap(server.aged(2))
    assert (server.ages, server.num_workers) == ([3], 1)


def test_a_worker_forked_before_our_hooks_were_installed_is_left_alone() -> None:
    server = ready_arbiter(2)
    hooks.child_exit(server, FakeWorker(99))
    assert server.num_workers == 2


# --- the next boot does not wait for the last drain ----------------------------------------------


def test_ttin_forks_although_a_retired_worker_still_drains() -> None:
    server = ready_arbiter(2, surplus=1, ready=[3])
    server.ttou()  # 1 drains, and counts
    assert (server.ages, server.num_workers) == ([1, 2, 3], 2)
    server.ttin()
    assert (server.ages, server.num_workers, server.surplus()) == ([1, 2, 3, 4], 3, [4])
    assert server.termed == [1]  # TERMing that one again is all that follows
    server.reap(server.aged(1))
    assert (server.ages, server.num_workers, server.termed) == ([2, 3, 4], 3, [1])


def test_a_whole_surge_rollout_by_ttin_and_ttou_retires_each_old_worker_once() -> None:
    server = ready_arbiter(3)
    for fresh in (4, 5, 6):
        server.ttin()
        server.make_ready(fresh)
        server.ttou()
    assert server.termed == [1, 2, 3]
    for old in (1, 2, 3):
        server.reap(server.aged(old))
    assert (server.ages, server.num_workers, server.surplus()) == ([4, 5, 6], 3, [])


# --- HUP -------------------------------------------------------------------------------------


def test_hup_in_the_middle_of_a_rollout_returns_to_the_configured_count() -> None:
    server = ready_arbiter(2, surplus=1, ready=[3])
    server.hup()
    assert server.num_workers == 2
    for age in (1, 2, 3):
        server.reap(server.aged(age))
    assert (server.ages, server.num_workers, server.surplus()) == ([4, 5], 2, [])


def test_hup_with_a_new_count_reaches_it() -> None:
    server = ready_arbiter(2)
    server.configured = 4
    server.hup()
    for age in (1, 2):
        server.reap(server.aged(age))
    assert server.num_workers == 4
    assert len(server.ages) == 4


def test_hup_that_raises_the_count_by_one_while_one_drains_forks_as_many_as_configured() -> None:
    server = ready_arbiter(2, surplus=1, ready=[3])
    server.ttou()  # 1 drains
    server.configured = 3
    server.hup()
    assert (server.ages, server.surplus()) == ([1, 2, 3, 4, 5, 6], [])
    for age in (1, 2, 3):
        server.reap(server.aged(age))
    assert (server.ages, server.num_workers) == ([4, 5, 6], 3)


# --- what the listener is told ----------------------------------------------------------------


def test_each_change_of_the_count_is_told_with_a_number_that_grows(told: Told) -> None:
    server = ready_arbiter(2)
    assert told() == []  # its workers say it at their start
    server.ttin()
    server.ttin()
    server.ttou()
    server.reap(server.aged(max(server.surplus())))
    messages = told()
    assert [type(one) for one in messages] == [Counted] * 4
    assert [one.workers for one in messages] == [3, 4, 3, 2]
    changes = [one.changes for one in messages]
    assert changes == list(range(changes[0], changes[0] + 4))


def test_a_count_set_to_what_it_was_is_no_change(told: Told) -> None:
    server = ready_arbiter(2, surplus=1)
    before = told()[0].changes
    server.num_workers = server.num_workers
    assert told() == []
    server.ttin()
    assert told()[0].changes == before + 1


def test_hup_is_told(told: Told) -> None:
    server = ready_arbiter(2)
    server.hup()
    (message,) = told()
    assert (type(message), message.workers) == (Reloaded, 2)


def test_a_listener_that_is_gone_costs_the_arbiter_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, "/nonexistent/s")
    server = ready_arbiter(2, surplus=1)
    server.reap(server.aged(3))
    assert server.num_workers == 2


# --- as a guest --------------------------------------------------------------------------------


def test_what_goes_wrong_in_our_part_is_logged_and_never_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        @property
        def num_workers(self) -> Any:
            raise LookupError("no such arbiter")

    with caplog.at_level(logging.WARNING, "gunicorn.error"):
        hooks.pre_fork(Broken(), FakeWorker(1))
    assert "no such arbiter" in caplog.text


def test_the_end_of_a_worker_forked_at_ttin_passes_through() -> None:
    """The child ends by SystemExit, which must not be swallowed."""
    server = ready_arbiter(2, surplus=1, ready=[3])
    server.ttou()

    def forked() -> None:
        raise SystemExit(0)

    server.spawn_worker = forked
    with pytest.raises(SystemExit):
        server.ttin()


def test_a_page_is_shared_memory_with_two_flags() -> None:
    server = ready_arbiter(1)
    page = page_of(server.WORKERS[1001])
    assert (page.ready, page.surplus) == (True, False)
    page.surplus = True
    page.ready = False
    assert (page.ready, page.surplus) == (False, True)
