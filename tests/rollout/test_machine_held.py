"""Rollouts that are held (paused, canaries), watched, and rolled back."""

from __future__ import annotations

import pytest

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, PAUSED
from tests.rollout.arbiter_model import READY
from tests.rollout.history import History


def test_nothing_moves_while_it_is_paused_and_all_goes_on_when_it_is_resumed():
    history = History.begun(2)
    history.tell(ev.Paused("me"))
    assert history.rollout.state == PAUSED
    assert history.ready(3) == []
    assert history.wait(300.0) == []
    history.tell(ev.Resumed("me"))
    assert history._settled() == ["remove oldest", "add"]
    history.finish()
    history.check_end(COMPLETE)


def test_a_paused_rollout_still_fails_and_still_can_be_aborted():
    history = History.begun(2)
    history.tell(ev.Paused("me"))
    history.exit(3, "signal 9")
    assert history.rollout.state == FAILED
    history = History.begun(2)
    history.tell(ev.Paused("me"))
    assert history.abort() == ["stop 3"]
    history.exit(3)
    history.check_end(ABORTED)


def test_pausing_twice_and_resuming_what_runs_change_nothing():
    history = History.begun(2)
    history.tell(ev.Resumed("me"))
    history.tell(ev.Paused("me"))
    history.tell(ev.Paused("you"))
    assert [one.text for one in history.tells if one.kind == "note"] == ["paused by me"]


def test_a_canary_is_held_and_the_others_follow_without():
    history = History(3, canary="1", max_surge="2", min_ready_secs="30")
    assert history.begin() == ["add"]  # only one, though two more may run
    assert history.last("began")["canary"] == 1
    assert history.ready(4) == []
    assert history.wait(29.0) == []
    assert history.wait(1.0) == ["remove oldest", "add", "add"]
    assert history.ready(5) == ["remove oldest"]
    history.finish()
    history.check_end(COMPLETE)


def test_in_place_a_canary_is_held_too():
    history = History(3, canary="1", max_surge="0", max_unavailable="2", min_ready_secs="30")
    assert history.begin() == ["stop 1"]
    history.exit(1)
    history.ready(4)
    assert history.wait(30.0) == ["stop 2", "stop 3"]
    history.finish()
    assert history.rollout.state == COMPLETE


def test_a_canary_that_answers_worse_than_the_outdated_ones_fails_the_rollout():
    history = History.begun(2, canary="1", min_ready_secs="30", ready=[3])
    history.tell(
        ev.Measured(ev.RequestCounts(100, 2), ev.RequestCounts(200, 0))
    )  # too few errors to say
    history.tell(
        ev.Measured(ev.RequestCounts(100, 20), ev.RequestCounts(200, 20))
    )  # twice as many, not more
    assert history.rollout.wanted == COMPLETE
    history.tell(ev.Measured(ev.RequestCounts(100, 30), ev.RequestCounts(200, 20)))
    assert history._settled() == ["stop 3"]
    history.exit(3)
    assert "30 of 100 requests failed (30%)" in history.rollout.why
    history.check_end(FAILED)


@pytest.mark.parametrize(("increase", "fails"), [("", False), ("40%", False), ("0%", True)])
def test_how_much_worse_is_too_much_is_a_setting(increase: str, fails: bool) -> None:
    history = History.begun(2, canary="1", min_ready_secs="30", max_error_rate_increase=increase)
    history.ready(3)
    history.tell(ev.Measured(ev.RequestCounts(100, 50), ev.RequestCounts(100, 10)))
    assert (history.rollout.wanted == FAILED) is fails


def test_a_rollback_replaces_only_the_young_ones_and_keeps_the_old():
    history = History(4)
    snapshot = list(history.rollout.instances)
    for one in snapshot[:2]:
        one.kept = one.fresh = one.available = True
    rollout = type(history.rollout).of(history.rollout.settings, snapshot, 4, 0.0)
    history.rollout = rollout
    assert history.begin() == ["add"]
    assert history.last("began")["workers"] == 2
    assert history.ready(5) == ["stop 3"]  # not the oldest, which is to stay
    history.exit(3)
    assert history.ready(6) == ["stop 4"]
    history.exit(4)
    assert history.ready(7) == ["stop 5"]  # the spare has done its work
    history.exit(5)
    assert history.rollout.state == COMPLETE
    assert sorted(one.age for one in history.arbiter.workers.values()) == [1, 2, 6, 7]
    assert history.arbiter.num_workers == 4
    assert history.last("complete")["min_ready"] == 4
    assert all(one.stage == READY for one in history.arbiter.workers.values())


def test_nothing_is_retired_before_the_preflight_has_passed():
    history = History(2)
    history.rollout.cleared = False
    history.begin()
    assert history.ready(3) == []
    history.tell(ev.PreflightPassed())
    assert history._settled() == ["remove oldest", "add"]


def test_a_preflight_that_fails_fails_the_rollout():
    history = History(2)
    history.rollout.cleared = False
    history.begin()
    history.ready(3)
    history.tell(ev.PrerequisiteFailed("preflight: ImportError"))
    history.finish()
    assert (history.rollout.state, history.rollout.why) == (FAILED, "preflight: ImportError")


def test_a_recycling_waits_for_a_kept_worker_that_fell_ill_no_longer_than_for_a_boot():
    history = History.begun(3, recycled=[3], ready_timeout_secs="60")
    history.now = 50.0
    assert history.unready(1) == []
    assert history.ready(4) == []  # fewer than three would be ready without the third
    assert history.wait(59.0) == []
    assert history.wait(1.0) == ["stop 4"]
    assert "was not ready within 60 s" in history.rollout.why
