"""What the listener keeps of what hooks say: the newest, and nothing of what does not belong."""

from __future__ import annotations

import json

import pytest

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker
from supervisor_roll.listener.arbiters.registry import REFETCH_SECS, ArbiterRegistry
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.datagram import decode, encode
from supervisor_roll.wire.gunicorn_facts import GunicornFacts
from supervisor_roll.wire.messages import (
    Booting,
    Counted,
    Loaded,
    Measured,
    Message,
    Ready,
    Unready,
)
from supervisor_roll.wire.program import ProcessInfo
from tests.fakes.site import LISTENER_PID, PIDS, Site

ARBITER, FIRST, SECOND = InstanceId(10, 1), InstanceId(11, 2), InstanceId(12, 3)


def arbiter() -> Arbiter:
    return Arbiter(ARBITER, "myapp")


def counted(changes: object, workers: object) -> Message:
    return Counted(changes=changes, workers=workers)


def registry(site: Site) -> ArbiterRegistry:
    return site.coordinator.registry


# --- an arbiter's count -----------------------------------------------------------------------


def test_the_count_is_what_was_said_last_and_not_what_came_last() -> None:
    one = arbiter()
    assert one.heard_count(counted(1, 3))
    assert one.heard_count(counted(3, 5))
    assert not one.heard_count(counted(2, 4))  # overtaken on its way
    assert not one.heard_count(counted(3, 5))  # each worker repeats it
    assert one.count == 5


@pytest.mark.parametrize(
    "message",
    [counted("many", 3), counted(1, "many"), counted(1, ""), counted("nan", 1), counted(1, "inf")],
)
def test_a_count_that_is_no_number_changes_nothing(message: Message) -> None:
    one = arbiter()
    with pytest.raises(BadMessage):
        one.heard_count(decode(encode(message)))
    assert (one.count, one.changes) == (0, -1)


def test_a_message_without_a_count_says_nothing_of_it() -> None:
    assert not arbiter().heard_count(Counted(changes=1))


# --- a worker's words -------------------------------------------------------------------------


def test_a_worker_is_known_by_what_it_says_in_turn() -> None:
    one = arbiter()
    one.heard_worker(FIRST, Booting(age=4))
    assert one.workers[FIRST] == Worker(FIRST, 4)
    assert one.undecided == [FIRST]
    one.heard_worker(FIRST, Loaded(age=4))
    assert one.workers[FIRST].loaded
    one.heard_worker(FIRST, Unready(age=4, status="503 No"))
    assert (one.ready, one.undecided, one.workers[FIRST].health) == (0, [], "503 No")
    one.heard_worker(FIRST, Ready(age=4, boot_secs=1.25, status="200 OK"))
    assert one.workers[FIRST] == Worker(
        FIRST, 4, loaded=True, ready=True, boot_secs=1.25, health="200 OK"
    )
    assert one.ready == 1


def test_a_worker_heard_late_is_known_all_the_same() -> None:
    one = arbiter()
    one.heard_worker(FIRST, Ready(age=7))
    assert one.workers[FIRST] == Worker(FIRST, 7, loaded=True, ready=True)


@pytest.mark.parametrize("fields", [{}, {"age": "old"}, {"age": 1, "boot_secs": "long"}])
def test_a_worker_that_talks_nonsense_is_not_made_known(fields: dict[str, str]) -> None:
    one = arbiter()
    with pytest.raises(BadMessage):
        one.heard_worker(FIRST, decode(encode(Ready(**fields))))
    assert one.workers == {}


def test_only_facts_about_the_arbiter_are_kept_as_such() -> None:
    one = arbiter()
    one.heard_worker(FIRST, Booting(age=1, gunicorn="27.0.1", preload=True, runs="x"))
    assert one.facts == GunicornFacts(gunicorn="27.0.1", preload=True)
    # What a worker that serves says each second does not repeat them.
    one.heard_worker(FIRST, Measured(age=1, requests=5, errors=0))
    assert one.facts == GunicornFacts(gunicorn="27.0.1", preload=True)


def test_a_rollout_begins_with_all_known_workers_as_outdated() -> None:
    one = arbiter()
    one.heard_worker(FIRST, Ready(age=1, boot_secs=2))
    one.heard_worker(SECOND, Booting(age=2))
    first, second = one.outdated(now=50.0, age_secs=lambda _: 2.0)
    assert (first.id, first.age, first.fresh, first.loaded, first.ready_since) == (
        FIRST,
        1,
        False,
        True,
        50.0,
    )
    assert (second.id, second.loaded, second.ready_since) == (SECOND, False, None)


# --- saved and taken up again -----------------------------------------------------------------


def full_arbiter() -> Arbiter:
    one = arbiter()
    one.heard_count(counted(5, 2))
    one.heard_worker(FIRST, Ready(age=1, gunicorn="27.0.1"))
    one.heard_worker(SECOND, Unready(age=2, status="503"))
    return one


def test_what_is_saved_comes_back_the_same() -> None:
    one = full_arbiter()
    assert Arbiter.from_data(json.loads(to_json(one.to_data()))) == one


def test_what_another_version_saved_comes_back_as_far_as_it_is_known() -> None:
    saved = json.loads(to_json(full_arbiter().to_data()))
    saved["mood"] = "fine"
    saved["workers"][0]["mood"] = "fine"
    del saved["facts"], saved["workers"][1]["health"]
    found = Arbiter.from_data(saved)
    assert found.workers[FIRST] == full_arbiter().workers[FIRST]
    assert found.workers[SECOND].health == ""
    assert (found.count, found.changes, found.facts) == (2, 5, GunicornFacts())


# --- which processes count --------------------------------------------------------------------


def test_an_arbiter_is_a_process_that_supervisord_runs() -> None:
    site = Site()
    program = site.start("myapp", workers=1)
    found = registry(site).arbiter(program.id)
    assert found.namespec == "myapp"
    assert registry(site).arbiter(program.id) is found
    assert program.id in site.table.watched
    stranger = site.fork(PIDS + 500, PIDS + 400, "gunicorn")
    assert registry(site).arbiter(stranger) is None
    assert stranger not in site.table.watched


def test_an_arbiter_that_was_started_since_is_found() -> None:
    site = Site()
    assert registry(site).info("myapp") is None
    program = site.start("myapp", workers=1)
    # Its word may reach us before supervisord's event.
    assert registry(site).arbiter(program.id) is not None
    assert registry(site).info("myapp") == ProcessInfo("myapp", PIDS + 10, "RUNNING")


def test_strangers_are_not_looked_up_that_often() -> None:
    site = Site()
    assert registry(site).info("myapp") is None
    program = site.start("myapp", workers=1)
    del site.table.processes[LISTENER_PID]  # so that nobody can tell whose child it is
    assert registry(site).arbiter(program.id) is None
    site.now += 1.0
    assert registry(site).arbiter(program.id) is not None
    assert registry(site).info("myapp") == ProcessInfo("myapp", PIDS + 10, "RUNNING")


def test_a_later_process_with_the_same_pid_is_another_one() -> None:
    site = Site()
    program = site.start("myapp", workers=1)
    assert registry(site).arbiter(InstanceId(program.id.pid, program.id.started - 1)) is None


def test_supervisord_is_asked_again_only_after_its_processes_have_changed() -> None:
    site = Site()
    site.start("myapp", workers=1)
    assert registry(site).info("myapp") is not None
    site.supervisord.infos = []
    assert registry(site).info("myapp") is not None
    registry(site).stale()
    assert registry(site).info("myapp") is None


def test_a_process_that_ended_is_forgotten_and_watched_no_more() -> None:
    site = Site()
    program = site.start("myapp", workers=2)
    site.settle()
    known = registry(site).arbiter(program.id)
    first, second = known.workers if known else ()
    assert registry(site).exited(first) == (known, False, "")
    assert registry(site).exited(first) == (None, False, "")
    assert first not in site.table.watched
    assert registry(site).exited(program.id) == (known, True, "")
    assert second not in site.table.watched
    assert registry(site).arbiters == {}


def test_supervisord_that_does_not_answer_is_no_error_here() -> None:
    site = Site()
    program = site.start("myapp", workers=1)
    site.supervisord.unreachable = True
    assert registry(site).info("myapp") is None
    assert registry(site).arbiter(program.id) is None
    site.supervisord.unreachable = False
    assert registry(site).arbiter(program.id) is not None


def test_what_runs_beside_the_rollouts_is_no_worker_of_the_listener() -> None:
    site = Site()
    site.supervisord.put("roll", LISTENER_PID, "RUNNING")
    site.fork(PIDS + 900, LISTENER_PID, "a preflight")
    site.hear(PIDS + 900, Loaded(age=1))
    assert not registry(site).arbiters
    site.close()


def test_what_supervisord_would_spawn_is_asked_for_once_a_moment_and_when_it_has_changed() -> None:
    site = Site()
    one = registry(site)
    for _ in range(3):
        one.program_lately("myapp", False)
    assert site.supervisord.specs == 1
    one.program_lately("myapp", True)
    assert site.supervisord.specs == 2
    one.stale()
    one.program_lately("myapp", False)
    site.now += REFETCH_SECS
    one.program_lately("myapp", False)
    assert site.supervisord.specs == 4
