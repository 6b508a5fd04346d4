"""Where nothing is heard, a rollout looks at what runs before it acts again."""

from __future__ import annotations

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.timing import CONFIRM_SECS, LOOK_SECS, REPEATS
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED
from tests.rollout.history import History


def deaf(workers: int = 3, **values: str) -> History:
    history = History(workers, ready_timeout_secs="20", **values)
    history.deaf = True
    return history


def test_where_nothing_is_heard_no_more_than_the_surge_is_added_and_it_is_taken_back():
    history = deaf(3)
    assert history.begin() == ["add"]
    assert history.wait(LOOK_SECS) == []
    history.finish()
    assert history.rollout.state == FAILED
    assert "has said nothing at all" in history.rollout.why
    assert history.now < 2 * 20
    assert history.rollout.count == history.arbiter.num_workers == 3
    assert [one.age for one in history.arbiter.staying] == [1, 2, 3]


def test_an_abort_where_nothing_is_heard_takes_back_what_was_added():
    history = deaf(3)
    history.begin()
    assert history.abort() == []  # the addition may be on its way
    assert history.wait(LOOK_SECS) == ["stop 4"]
    history.finish()
    assert history.rollout.state == ABORTED
    assert history.now < 10
    assert history.rollout.count == history.arbiter.num_workers == 3


def test_the_count_comes_back_also_where_the_arbiter_would_replace_what_was_added():
    history = History.begun(3, ready_timeout_secs="20", min_ready_secs="60", ready=[4])
    fresh = history.arbiter.aged(4)
    fresh.surplus = False  # it has waited for an answer for too long
    history.tell(ev.Started(fresh.id, 4, surplus=False))
    assert history.abort() == ["remove oldest"]
    history.finish()
    assert history.rollout.state == ABORTED
    assert history.rollout.count == history.arbiter.num_workers == len(history.arbiter.workers) == 3


def test_an_arbiter_that_heeds_no_signal_is_asked_some_times_and_no_more():
    history = History.begun(2, at_once=False)
    sent = 0
    while history.rollout.state not in (FAILED, COMPLETE) and history.now < 500:
        sent += history.arbiter.signals.count("TTIN")
        history.arbiter.signals.clear()
        history.deliver()
        if not history.arbiter.inbox and history.rollout.state not in (FAILED, COMPLETE):
            due = history.rollout.next_deadline
            assert due is not None
            history.now = due
            history.tell(ev.TimePassed())
    assert history.rollout.state == FAILED
    assert sent == REPEATS + 1
    assert "did not react to TTIN" in history.rollout.why
    assert history.now <= (REPEATS + 1) * CONFIRM_SECS + 15


def test_a_count_that_is_not_told_costs_less_than_a_second():
    history = History.begun(2, at_once=False)
    history.handle_signal()
    history.arbiter.inbox = type(history.arbiter.inbox)(
        one for one in history.arbiter.inbox if not isinstance(one, ev.Counted)
    )
    while history.arbiter.inbox:
        history.deliver()
    history.ready(3)
    while history.arbiter.inbox:
        history.deliver()
    history.wait(LOOK_SECS)
    history.deliver()
    assert list(history.arbiter.signals) == ["TTOU"]


def test_a_process_that_has_said_nothing_and_ends_fails_nothing():
    history = History.begun(2, at_once=False)
    history.arbiter.signals.clear()
    helper = ev.InstanceId(77, 77)
    history.tell(ev.Observed((*history.arbiter.workers, helper)))
    history.tell(ev.Exited(helper))
    assert history.rollout.wanted == COMPLETE


def test_one_that_was_taken_for_surplus_and_was_replaced_is_not_stopped_again_and_again():
    history = deaf(1)
    history.begin()
    history.wait(LOOK_SECS)
    history.exit(1, "signal 9")
    for worker in history.arbiter.workers.values():
        worker.surplus = False  # the arbiter replaces all of them
    history.finish()
    assert history.rollout.state == FAILED
    assert history.arbiter.by_age[-1].age <= 5


def test_more_silent_workers_than_may_run_fail_the_rollout_at_once():
    history = deaf(2)
    history.begin()
    crowd = tuple(ev.InstanceId(pid, pid) for pid in (71, 72))
    history.rollout.handle(ev.Observed((*history.arbiter.workers, *crowd)), 1.0)
    assert history.rollout.wanted == FAILED
    assert "5 workers run where 3 may: of 1003, 71, 72 nothing was heard" in history.rollout.why


def test_one_that_was_asked_in_a_lost_signals_place_is_let_drain():
    history = History.begun(2, drain_timeout_secs="300")
    history.arbiter.lose_next_signal = True
    history.ready(3)
    assert history.wait(CONFIRM_SECS) == ["stop 1"]
    history.rollout.handle(ev.Observed(tuple(history.arbiter.workers)), history.now + CONFIRM_SECS)
    assert history.rollout.signal is not None
    assert history.rollout.wanted == COMPLETE


def test_more_workers_than_are_wanted_are_believed_once_none_of_them_can_be_draining():
    history = History.begun(2, drain_timeout_secs="20", ready_timeout_secs="600")
    history.tell(ev.Paused("me"))
    history.ready(3)
    history.rollout.handle(ev.Started(ev.InstanceId(71, 71), 4), 100.0)
    shown = ev.Observed((*history.arbiter.workers, ev.InstanceId(71, 71)))
    for now, count in ((129.0, 3), (130.0, 4)):
        history.rollout.handle(shown, now)
        assert history.rollout.count == count
