"""Scripted rollouts that complete, against the arbiter model.

Workers are named by age; 1, 2, ... are outdated. History asserts the invariant after each
step, and that a rollout thawed from JSON acts alike.
"""

from __future__ import annotations

import pytest

from supervisor_roll.rollout.reports import Began, Complete, Facts, Replaced
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.timing import STOP_GRACE_SECS
from supervisor_roll.rollout.words import COMPLETE, FAILED, PROGRESSING
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from tests.rollout.arbiter_model import BOOTING, READY, UNREADY
from tests.rollout.history import History


def in_place(workers: int = 2, **values: str) -> History:
    return History(workers, max_surge="0", max_unavailable="1", **values)


# --- complete ----------------------------------------------------------------------------------


def test_a_surge_adds_one_before_it_retires_one_and_the_next_boot_does_not_wait_for_the_drain():
    history = History(2)
    assert history.begin() == ["add"]
    assert history.load(3) == []
    assert history.ready(3) == ["remove oldest", "add"]
    assert history.ready(4) == ["remove oldest"]
    assert history.exit(1) == []
    assert history.rollout.state == PROGRESSING
    assert history.exit(2) == []
    history.check_end(COMPLETE)


def test_what_a_complete_rollout_tells():
    history = History.begun(2)
    history.now = 3.0
    history.ready(3)
    history.exit(1)
    history.ready(4)
    history.now = 4.25
    history.exit(2)
    assert [tell.kind for tell in history.tells] == ["began", "replaced", "replaced", "complete"]
    assert history.tells[0] == Began(workers=2, desired=2, ready=2, max_surge=1)
    assert history.tells[2] == Replaced(1002, 1004, boot_secs=1.5, done=2, total=2)
    assert history.tells[3] == Complete(
        secs=4.25, replaced=2, total=2, min_ready=2, desired=2, count=2, fresh=[1003, 1004]
    )


def test_in_place_stops_one_and_waits_for_what_replaces_it():
    history = in_place()
    assert history.begin() == ["stop 1"]
    assert history.exit(1) == []
    assert history.load(3) == []
    assert history.ready(3) == ["stop 2"]
    assert history.exit(2) == []
    assert history.ready(4) == []
    assert history.last("complete")["min_ready"] == 1
    history.check_end(COMPLETE)


def test_a_fresh_instance_counts_only_once_it_has_been_ready_for_min_ready_secs():
    history = History.begun(1, min_ready_secs="10")
    assert history.ready(2) == []
    assert history.wait(9.9) == []
    assert history.wait_until(10.0) == ["remove oldest"]
    history.exit(1)
    assert history.rollout.state == COMPLETE


def test_a_surge_of_two_adds_two_and_retires_two():
    history = History(4, max_surge="2")
    assert history.begin() == ["add"]
    assert history.ready(5) == ["remove oldest", "add", "add"]
    assert history.ready(6) == ["remove oldest", "add"]
    assert history.ready(7, 8) == ["remove oldest", "remove oldest"]
    for age in (1, 2, 3, 4):
        history.exit(age)
    assert history.last("complete")["min_ready"] == 4
    history.check_end(COMPLETE)


def test_a_bad_release_costs_one_boot_however_large_the_surge_is():
    history = History(64)
    assert history.begin() == ["add"]
    history.finish(good=False)
    assert history.arbiter.worker_age == 65
    history.check_end(FAILED)


def test_by_default_a_quarter_boots_at_once_after_the_first():
    history = History(64)
    assert history.begin() == ["add"]
    assert history.ready(65).count("add") == 16
    rounds = 1
    while history.rollout.state != COMPLETE:
        rounds += 1
        history.ready(*(one.age for one in history.arbiter.staying if one.stage == BOOTING))
        for one in [one for one in history.arbiter.by_age if one.draining]:
            history.exit(one.age)
    assert rounds == 5  # with a boot of a minute: 5 minutes
    assert history.last("complete")["min_ready"] == 64
    history.check_end()


def test_no_more_boot_at_once_than_there_are_cores_once_the_first_has_computed():
    history = History(8, cores=2, cpu_secs=1.0, max_surge="100%", min_ready_secs="10")
    assert history.begin() == ["add"]
    assert history.ready(9) == ["add", "add"]
    # It is about boots: those that bake are no burden.
    assert history.ready(10) == ["add"]
    assert history.ready(11, 12) == ["add", "add"]
    history.finish()
    assert history.last("complete")["min_ready"] == 8
    history.check_end()


def test_where_the_first_boot_waits_for_others_the_cores_are_no_limit():
    history = History.begun(8, cores=2, cpu_secs=0.7, max_surge="100%")
    assert history.ready(9).count("add") == 7
    history.finish()
    history.check_end()


def test_what_is_to_come_is_never_more_than_there_is_room_and_need_for():
    history = History(3, max_surge="2")
    assert history.rollout.to_come == 2
    history.begin()
    assert history.rollout.to_come == 1
    history.ready(4)
    assert history.rollout.to_come == 0
    history.ready(5)
    history.exit(1)
    history.exit(2)
    assert history.rollout.to_come == 0
    history.abort()
    assert history.rollout.to_come == 0


def test_surge_and_unavailable_together_retire_one_at_once_and_keep_the_count():
    history = History(4, max_surge="1", max_unavailable="1")
    assert history.begin() == ["add", "remove oldest"]
    assert history.arbiter.num_workers == 4
    assert history.ready(5) == ["add", "remove oldest", "add"]
    assert history.arbiter.num_workers == 5
    history.finish()
    assert history.last("complete")["min_ready"] == 3
    history.check_end(COMPLETE)


@pytest.mark.parametrize(
    ("workers", "surge", "unavailable", "counts"),
    [
        (4, "25%", "25%", (1, 1)),
        (5, "25%", "25%", (2, 1)),  # surge rounds up, unavailable rounds down
        (3, "25%", "25%", (1, 0)),
        (10, "30%", "0", (3, 0)),
        (3, "0", "25%", (0, 1)),  # both come to 0: one may be unavailable
        (2, "0", "500%", (0, 2)),  # no more than there are
        (3, "100%", "0", (3, 0)),
    ],
)
def test_percentages_round_as_in_kubernetes(
    workers: int, surge: str, unavailable: str, counts: tuple[int, int]
):
    history = History.begun(workers, max_surge=surge, max_unavailable=unavailable)
    facts = history.last("began")
    assert (facts["max_surge"], facts["max_unavailable"]) == counts
    history.finish()
    history.check_end(COMPLETE)


def test_nothing_to_roll_is_complete_at_once():
    rollout = WorkerRollout.of(Settings(), [], 0, 0.0)
    assert [tell.kind for tell in rollout.begin() if isinstance(tell, Facts)] == [
        "began",
        "complete",
    ]


# --- sick and booting ones at the start --------------------------------------------------------


def test_outdated_instances_that_were_never_ready_are_replaced_too():
    history = History(3, {1: UNREADY, 3: UNREADY})
    assert history.begin() == ["add"]  # the release must prove itself before even a sick one goes
    assert history.last("began")["ready"] == 1
    history.finish()
    assert history.last("complete")["min_ready"] >= 1
    history.check_end(COMPLETE)


def test_in_place_a_sick_one_goes_first():
    history = in_place(3, stages={3: UNREADY})
    assert history.begin() == ["stop 3"]
    history.finish()
    assert history.rollout.state == COMPLETE


def test_a_sick_one_that_holds_the_oldest_up_is_replaced_in_place():
    history = History.begun(3)
    history.unready(2)
    assert history.ready(4) == ["stop 2"]  # without 1 there would be too few
    history.exit(2)
    assert history.ready(5) == ["remove oldest", "add"]
    history.finish()
    history.check_end(COMPLETE)


def test_a_sick_one_is_not_replaced_before_the_release_has_proved_itself():
    history = History(2, {2: UNREADY})
    assert history.begin() == ["add"]
    history.exit(3, "ImportError")
    assert history.last("failed")["outdated"] == [1001, 1002]


def test_an_outdated_instance_that_still_boots_is_retired_only_once_it_has_loaded():
    history = History(2, {1: BOOTING, 2: READY})
    assert history.begin() == ["add"]
    assert history.ready(3) == []
    assert history.load(1)[0] == "remove oldest"
    history.finish()
    history.check_end(COMPLETE)


def test_in_place_an_outdated_instance_that_still_boots_waits_its_turn():
    history = in_place(2, stages={1: BOOTING, 2: BOOTING})
    assert history.begin() == []
    assert history.load(2) == ["stop 2"]


def test_an_outdated_instance_that_never_loads_is_replaced_once_its_time_is_up():
    history = History.begun(2, {1: BOOTING}, ready_timeout_secs="30")
    assert history.ready(3) == []
    assert history.wait(30.0) == ["remove oldest", "add"]
    # It finishes nothing, so that it is not given the time of those that serve.
    assert "kill 1" in history.wait(STOP_GRACE_SECS)
    history.finish()
    history.check_end(COMPLETE)


def test_in_place_an_outdated_instance_that_never_loads_goes_first_once_its_time_is_up():
    history = in_place(2, stages={1: BOOTING, 2: BOOTING}, ready_timeout_secs="30")
    assert history.begin() == []
    assert history.wait_until(30.0) == ["stop 1"]
    history.finish()
    history.check_end(COMPLETE)
