"""Scripted rollouts with the world moving meanwhile: deaths, HUP, lost messages, long drains."""

from __future__ import annotations

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.timing import CONFIRM_SECS, SETTLE_SECS, STOP_GRACE_SECS
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, PROGRESSING
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from tests.rollout.history import History

# --- what others do meanwhile ------------------------------------------------------------------


def test_an_outdated_instance_that_dies_by_itself_is_one_less_to_replace():
    history = History.begun(2)
    assert history.exit(1, "signal 9") == []
    assert history.last("left") == {"pid": 1001, "why": "signal 9"}
    assert history.ready(3) == []
    assert history.ready(4) == ["remove oldest"]  # 4 is what the arbiter put in place of 1
    history.exit(2)
    assert history.last("complete")["replaced"] == 2
    history.check_end(COMPLETE)


def test_an_available_instance_that_is_recycled_fails_nothing():
    history = History.begun(2)
    assert history.ready(3) == ["remove oldest", "add"]
    assert history.exit(3, "max_requests") == []
    assert history.ready(4) == []
    assert history.exit(1) == []
    assert history.ready(5) == ["remove oldest"]
    history.finish()
    history.check_end(COMPLETE)


def test_a_rollout_ends_when_its_arbiter_does():
    history = History.begun(2)
    history.tell(ev.ArbiterExited("the arbiter exited (signal 9)"))
    assert history.rollout.state == FAILED
    assert history.rollout.why == "the arbiter exited (signal 9)"


def test_an_aborted_rollout_whose_arbiter_exits_is_aborted():
    history = History.begun(2)
    history.abort("alice")
    history.tell(ev.ArbiterExited("the arbiter exited"))
    assert (history.rollout.state, history.rollout.why) == (
        ABORTED,
        "aborted by alice; the arbiter exited",
    )


def test_hup_when_all_fresh_ones_are_available_completes_the_rollout():
    history = History.begun(2, ready=[3])
    history.ready(4)
    assert history.hup() == []
    assert [worker.age for worker in history.arbiter.staying] == [5, 6]
    for age in (1, 2, 3, 4):
        history.exit(age)
    assert history.rollout.state == PROGRESSING
    history.ready(5, 6)
    history.check_end(COMPLETE)


def test_hup_that_takes_a_booting_fresh_one_fails_the_rollout_with_the_count_back():
    history = History.begun(3)
    history.hup()
    assert [worker.age for worker in history.arbiter.by_age if worker.draining] == [1, 2, 3, 4]
    history.finish()
    history.check_end(FAILED, deaths=True)
    assert all(worker.age > 3 for worker in history.arbiter.workers.values())


# --- signals and messages that go astray -------------------------------------------------------


def test_an_add_that_has_no_effect_is_sent_again():
    history = History(2)
    history.arbiter.lose_next_signal = True
    assert history.begin() == ["add"]
    assert history.wait(CONFIRM_SECS - 1) == []
    assert history.wait_until(CONFIRM_SECS) == ["add"]
    history.finish()
    history.check_end(COMPLETE)


def test_where_a_remove_has_no_effect_the_very_instance_is_asked_instead():
    history = History.begun(2)
    history.arbiter.lose_next_signal = True
    assert history.ready(3) == ["remove oldest"]
    assert history.wait(CONFIRM_SECS) == ["stop 1"]
    history.finish()
    assert history.last("complete")["min_ready"] == 2
    history.check_end(COMPLETE)


def test_a_remove_that_was_heard_though_nobody_said_so_retires_only_one():
    history = History.begun(2, at_once=False)
    history.at_once = True
    history.wait(0.0)
    history.at_once = False
    history.ready(3)
    while history.arbiter.inbox:
        history.deliver()
    history.handle_signal()
    history.arbiter.inbox.clear()  # the listener was away: the new count never came
    history.at_once = True
    history.moves.clear()
    assert history.wait(CONFIRM_SECS) == ["stop 1"]
    assert [worker.age for worker in history.arbiter.staying] == [2, 3]


def test_only_one_signal_is_under_way_though_its_effect_is_told_twice():
    history = History.begun(4, max_surge="3", at_once=False)
    history.handle_signal()
    history.ready(5)
    while history.arbiter.inbox:
        history.deliver()
    assert list(history.arbiter.signals) == ["TTOU"]
    history.handle_signal()
    history.deliver()  # the new count: the next signal goes out
    assert list(history.arbiter.signals) == ["TTIN"]
    history.handle_signal()
    history.deliver()  # the same
    assert list(history.arbiter.signals) == ["TTIN"]
    history.deliver()  # the birth that came of the one before says nothing of this one
    assert list(history.arbiter.signals) == ["TTIN"]


def test_late_and_repeated_messages_mean_nothing():
    history = History.begun(2, ready=[3])
    gone = history.arbiter.aged(1).id
    history.exit(1)
    known = [one.id for one in history.rollout.instances]
    for event in (
        ev.Started(gone, 1),
        ev.Loaded(gone),
        ev.BecameReady(gone, 1.0),
        ev.BecameUnready(gone, "503"),
        ev.BootFailed(gone, "x"),
        ev.Exited(gone),
    ):
        history.tell(event)
        assert [one.id for one in history.rollout.instances] == known
    fresh = history.arbiter.aged(3).id
    history.tell(ev.Started(fresh, 3, surplus=True))
    history.tell(ev.BecameReady(fresh, 1.5))
    history.tell(ev.Counted(history.arbiter.num_workers))
    history.tell(ev.Exited(InstanceId(fresh.pid, fresh.started - 50)))
    assert [one.id for one in history.rollout.instances] == known
    assert history.moves == []
    history.finish()
    history.check_end(COMPLETE)


def test_an_instance_whose_birth_was_not_told_is_met_by_its_first_message():
    rollout = WorkerRollout.of(Settings(), [], 1, 0.0)
    rollout.begin()
    rollout.handle(ev.Counted(2), 1.0)
    rollout.handle(ev.BecameReady(InstanceId(7, 1), 0.5), 1.0)
    assert [one.id.pid for one in rollout.instances.fresh] == [7]


# --- drains ------------------------------------------------------------------------------------


def test_a_drain_that_takes_too_long_is_dumped_and_then_killed():
    history = History.begun(1, drain_timeout_secs="40", ready=[2])
    history.arbiter.aged(1).stubborn = True
    assert history.wait_until(40.0) == ["dump 1"]
    assert history.last("stuck") == {"pid": 1001, "secs": 40.0, "signal": "ABRT"}
    assert history.wait_until(40.0 + STOP_GRACE_SECS) == ["kill 1"]
    assert history.last("stuck")["signal"] == "KILL"
    assert history.rollout.state == PROGRESSING
    assert history.wait_until(40.0 + 2 * STOP_GRACE_SECS) == []
    assert history.rollout.wanted == FAILED
    history.wait(SETTLE_SECS)
    assert history.rollout.state == FAILED
    assert "1001 is still there" in history.rollout.why


def test_a_retired_instance_that_is_dumped_and_leaves_completes_the_rollout():
    history = History.begun(1, drain_timeout_secs="40", ready=[2])
    assert history.wait(40.0) == ["dump 1"]
    history.check_end(COMPLETE)


def test_a_ready_surplus_instance_drains_like_a_retired_one_when_the_rollout_is_aborted():
    history = History.begun(1, drain_timeout_secs="40", min_ready_secs="5", ready=[2])
    assert history.abort() == ["stop 2"]
    assert history.wait(39.0) == []
    assert history.wait_until(40.0) == ["dump 2"]
    history.check_end(ABORTED)
