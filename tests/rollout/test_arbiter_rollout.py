"""Strategy ``arbiter``: scripted and random rollouts against the model of two arbiters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.errors import IllegalEvent
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.timing import CONFIRM_SECS, REPEATS
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, PAUSED, PROGRESSING
from tests.rollout.pair_model import NEW, Pair, _id

# --- complete ------------------------------------------------------------------------------------


def test_where_two_sets_may_run_the_old_arbiter_is_not_touched_before_the_promotion():
    pair = Pair(4)
    assert pair.begin() == ["start"]
    assert sorted(pair.new) == [201, 202, 203, 204]
    assert pair.ready(201, 202, 203) == []
    assert pair.ready(204) == ["promote"]
    assert pair.rollout.state != COMPLETE, "the old one drains"
    assert pair.end(successor=False) == []
    assert pair.rollout.state == COMPLETE
    assert [tell.kind for tell in pair.tells] == [
        "began",
        "succeeded",
        "arrived",
        "arrived",
        "arrived",
        "arrived",
        "promoted",
        "complete",
    ]
    facts = pair.tells[-1]
    assert (facts.strategy, facts.replaced, facts.min_ready, facts.count) == ("arbiter", 4, 4, 4)
    assert facts.fresh == [201, 202, 203, 204]


def test_where_memory_is_short_the_successor_grows_as_the_old_one_shrinks():
    pair = Pair(4, full=False)
    assert pair.begin() == ["start"]
    assert sorted(pair.new) == [201]
    assert pair.all_ready() == ["shrink", "grow", "shrink", "grow", "shrink", "grow", "promote"]
    pair.end(successor=False)
    assert pair.rollout.state == COMPLETE
    assert pair.rollout.min_ready == 4


def test_a_successor_that_grows_begins_with_one_so_that_a_bad_release_costs_no_more():
    pair = Pair(8, full=False)  # 25% of these are 2
    assert pair.begin() == ["start"]
    assert sorted(pair.new) == [201]
    assert pair.ready(201) == ["grow"]
    assert pair.ready(202) == ["shrink", "grow"]
    pair.all_ready()
    pair.end(successor=False)
    assert pair.rollout.state == COMPLETE
    assert pair.rollout.min_ready == 8


def test_what_is_to_come_is_never_more_than_there_is_room_and_need_for():
    pair = Pair.begun(4, full=False, max_surge="2")
    assert pair.rollout.to_come == 1  # one of the two boots
    pair.ready(201)
    assert pair.rollout.to_come == 0
    pair.tell(ev.Aborted("me"))
    assert pair.rollout.to_come == 0
    whole = Pair(4)
    assert whole.rollout.to_come == 4
    whole.begin()
    assert whole.rollout.to_come == 0


def test_in_place_the_old_one_shrinks_first():
    pair = Pair(3, full=False, max_surge="0", max_unavailable="1")
    assert pair.begin() == ["shrink", "start"]
    assert pair.all_ready() == ["shrink", "grow", "grow", "promote"]
    assert pair.rollout.min_ready == 2


def test_one_worker_without_a_surge_still_gets_a_successor_since_no_arbiter_has_fewer_than_one():
    pair = Pair(1, full=False, max_surge="0", max_unavailable="1")
    assert pair.begin() == ["start"]
    assert pair.ready(201) == ["promote"]


def test_canaries_are_held_for_their_time_and_the_others_are_not():
    pair = Pair(3, canary="1", min_ready_secs="10")
    assert pair.begin() == ["start"]
    assert sorted(pair.new) == [201]
    assert pair.ready(201) == []
    assert pair.wait(9) == []
    assert pair.wait(1) == ["grow", "grow"]
    assert pair.ready(202, 203) == ["promote"]


def test_each_worker_must_have_been_ready_for_long_enough():
    pair = Pair.begun(2, min_ready_secs="5")
    assert pair.all_ready() == []
    assert pair.wait(4.9) == []
    assert pair.wait(0.2) == ["promote"]


def test_a_worker_of_the_old_arbiter_that_dies_meanwhile_is_its_arbiters_affair():
    pair = Pair.begun(2)
    pair.floor = 1
    assert pair.die(101) == []
    pair.old[103] = False
    assert pair.tell(ev.Started(InstanceId(103, 103), 103, fresh=False)) == []
    assert pair.ready(103) == []
    assert pair.ready(201, 202) == ["promote"]


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_successor_that_ends_has_touched_nothing():
    pair = Pair.begun(2)
    assert pair.end(successor=True, why="exited with status 3") == []
    assert pair.rollout.state == FAILED
    assert pair.tells[-1].why == "exited with status 3"
    assert pair.tells[-1].outdated == [101, 102]
    assert pair.tells[-1].count == 2


def test_a_lost_first_worker_waits_for_what_its_arbiters_end_says():
    pair = Pair.begun(2)
    assert pair.die(201) == []
    assert pair.end(successor=True, why="halted: no module named app") == []
    assert pair.tells[-1].why == "halted: no module named app"


def test_a_lost_worker_whose_arbiter_stays_fails_the_rollout():
    pair = Pair.begun(2, ready=[202])
    assert pair.die(201) == []
    assert pair.wait(3) == ["discard"]
    assert pair.rollout.state == FAILED
    assert "worker 201 of the successor exited while it booted" in pair.rollout.why


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (ev.BootFailed(InstanceId(201, 201), "ImportError: x"), "failed to boot: ImportError: x"),
        (ev.Measured(ev.RequestCounts(100, 50), ev.RequestCounts(100, 0)), "answer worse"),
        (ev.PrerequisiteFailed("supervisord: no"), "supervisord: no"),
    ],
)
def test_what_fails_a_rollout_discards_the_successor(event: ev.Event, why: str):
    pair = Pair.begun(2)
    assert pair.tell(event) == ["discard"]
    assert pair.rollout.state == FAILED
    assert why in pair.rollout.why


def test_a_check_that_fails_after_it_has_passed_discards_the_successor():
    pair = Pair.begun(2, min_ready_secs="9", ready=[201])
    assert pair.tell(ev.BecameUnready(InstanceId(201, 201), "503")) == ["discard"]


def test_a_worker_that_is_not_ready_in_time_discards_the_successor():
    pair = Pair.begun(2, ready_timeout_secs="30", ready=[201])
    assert pair.wait(29) == []
    assert pair.wait(2) == ["discard"]
    assert "worker 202 was not ready within 30 s" in pair.rollout.why


def test_a_successor_that_never_forks_is_discarded():
    pair = Pair(2, ready_timeout_secs="30")
    pair.obey = False
    pair.begin()
    pair.tell(ev.SuccessorStarted(NEW))
    assert pair.wait(31) == ["discard"]
    assert "0 of 2 workers after 30 s" in pair.rollout.why


def test_a_start_that_supervisord_refuses_ends_it_at_once():
    pair = Pair(2)
    pair.obey = False
    assert pair.begin() == ["start"]
    assert pair.tell(ev.PrerequisiteFailed("can't find command '/no'")) == []
    assert pair.rollout.state == FAILED


def test_a_promotion_that_is_refused_discards_the_successor():
    pair = Pair.begun(1)
    pair.obey = False
    assert pair.ready(201) == ["promote"]
    assert pair.tell(ev.PrerequisiteFailed("no")) == ["discard"]
    assert pair.rollout.unanswered_requests() == [ev.Discard()]
    pair.end(successor=True)
    assert (pair.rollout.state, pair.rollout.why) == (FAILED, "no")


def test_an_old_arbiter_that_is_stopped_meanwhile_takes_the_successor_with_it():
    pair = Pair.begun(2)
    assert pair.end(successor=False, why="it was stopped") == ["discard"]
    assert (pair.rollout.state, pair.rollout.why) == (FAILED, "it was stopped")


def test_an_abort_discards_the_successor():
    pair = Pair.begun(2)
    assert pair.tell(ev.Aborted("me")) == ["discard"]
    assert pair.rollout.state == ABORTED


def test_a_worker_that_is_heard_of_only_after_its_arbiter_was_discarded_is_not_waited_for():
    pair = Pair(1)
    pair.obey = False
    pair.begin()
    pair.tell(ev.SuccessorStarted(NEW))
    assert pair.tell(ev.Aborted("me")) == ["discard"]
    assert pair.tell(ev.Started(InstanceId(201, 201), 1)) == []
    assert pair.wait(6) == ["KILL 201"]


def test_an_old_arbiter_that_was_not_asked_for_anything_is_not_waited_for():
    pair = Pair.begun(2)
    pair.floor = 1
    pair.tell(ev.BecameUnready(InstanceId(101, 101), "503"))
    assert pair.tell(ev.Aborted("me")) == ["discard"]


def test_after_the_promotion_an_abort_comes_too_late_and_is_told_so():
    pair = Pair.begun(1, ready=[201])
    assert pair.tell(ev.Aborted("me")) == []
    assert "too late" in str(pair.tells[-1].text)
    pair.end(successor=False)
    assert pair.rollout.state == COMPLETE


def test_an_arbiter_that_dies_right_after_its_promotion_is_told():
    pair = Pair.begun(1, ready=[201])
    pair.end(successor=True, why="the arbiter (pid 200) exited")
    assert (pair.rollout.state, pair.rollout.why) == (FAILED, "the arbiter (pid 200) exited")


def test_a_late_failure_gives_the_old_arbiter_its_workers_back_before_the_successor_goes():
    pair = Pair.begun(4, full=False, ready=[201])
    pair.ready(202)
    assert (len(pair.old), sorted(pair.new)) == (2, [201, 202, 203])
    moves = pair.tell(ev.BootFailed(InstanceId(203, 203), "x"))
    moves += pair.all_ready()
    assert moves[-1] == "discard"
    assert pair.rollout.state == FAILED
    assert len(pair.old) == 4
    assert pair.tells[-1].count == 4


def test_an_old_arbiter_whose_new_workers_cannot_boot_is_not_asked_again_and_again():
    pair = Pair.begun(3, full=False, ready=[201])
    assert sorted(pair.old) == [102, 103]
    pair.tell(ev.Aborted("me"))
    while not pair.booting or pair.booting[0] > 200:
        pair.all_ready()
    pair.floor = 0
    booting = pair.booting[0]
    pair.wanted[False] -= 1
    pair.old.pop(booting)
    pair.tell(
        ev.BootFailed(InstanceId(booting, booting), "SyntaxError"), ev.Counted(pair.wanted[False])
    )
    assert pair.rollout.state == PROGRESSING
    assert "failed to boot: SyntaxError" in str(pair.tells[-1].text)
    assert pair.moves.count("old grows") == 1
    pair.wait(59)
    assert pair.moves.count("old grows") == 1
    assert pair.tell(ev.Aborted("me")) == ["discard"]
    assert pair.rollout.state == ABORTED
    assert "left with 2 of 3 workers: a worker of the old arbiter failed to boot: SyntaxError" in (
        pair.rollout.why
    )
    assert pair.moves.count("old grows") == 1


def test_an_old_arbiter_that_can_start_no_worker_is_not_asked_again_and_again():
    pair = Pair.begun(3, full=False, ready=[201])
    assert sorted(pair.old) == [102, 103]
    pair.tell(ev.Aborted("me"))
    pair.floor = 0
    pair.tell(ev.ForkFailed("no room"), ev.Counted(2))
    assert pair.rollout.state == PROGRESSING, "the successor's workers are needed"
    assert pair.tell(ev.Aborted("me"))[-1] == "discard"
    assert pair.rollout.state == ABORTED
    assert "left with 2 of 3 workers: no room" in pair.rollout.why
    assert pair.moves.count("old grows") <= 1


def test_a_successor_that_can_start_no_worker_fails_the_rollout():
    pair = Pair.begun(3, full=False)
    assert pair.tell(ev.ForkFailed("no room", ev.Whose.SUCCESSOR)) == ["discard"]
    assert (pair.rollout.state, pair.rollout.why) == (FAILED, "no room")


def test_a_successor_whose_workers_serve_is_kept_while_the_old_arbiter_lacks_its_own():
    pair = Pair.begun(2, False, max_surge="1", max_unavailable="0", ready_timeout_secs="30")
    pair.ready(201)
    pair.tell(ev.Aborted("me"))
    pair.wait(31)
    pair.wait(31)
    assert pair.moves == ["start", "shrink", "grow", "TERM 202", "old grows"]
    assert pair.rollout.state == PROGRESSING
    pair.wait(300)
    assert pair.alive[True] and "discard" not in pair.moves
    assert [tell.kind for tell in pair.tells].count("note") == 1
    assert pair.all_ready() == ["discard"]
    assert pair.rollout.state == ABORTED
    assert "left with" not in pair.rollout.why


def test_a_kept_successor_goes_where_the_rollout_is_aborted_once_more():
    pair = Pair.begun(2, False, max_surge="1", max_unavailable="0", ready_timeout_secs="30")
    pair.ready(201)
    pair.tell(ev.PrerequisiteFailed("it failed"))
    assert pair.wait(62) == []
    pair.floor = 1
    assert pair.tell(ev.Aborted("me")) == ["discard"]
    assert pair.rollout.state == FAILED
    assert "left with 1 of 2 workers" in pair.rollout.why


def test_a_signal_that_has_no_effect_however_often_it_is_repeated_fails_the_rollout():
    pair = Pair.begun(3, full=False, drain_timeout_secs="20")
    pair.obey = False
    assert pair.ready(201) == ["shrink"]
    assert pair.wait(CONFIRM_SECS - 1) == []
    assert pair.wait(2 * CONFIRM_SECS) == ["TERM 101", "ABRT 101", "KILL 101", "TERM 101"]
    pair.obey = True
    assert pair.wait(2)[-1] == "discard"
    assert "did not react to TTOU" in pair.rollout.why


def test_a_signal_that_was_lost_is_made_up_for():
    """As it is with a listener that was killed right before it sent one."""
    pair = Pair.begun(2, full=False)
    pair.obey = False
    assert pair.ready(201) == ["shrink"]
    pair.obey = True
    assert pair.wait(CONFIRM_SECS) == ["TERM 101"]  # which its arbiter replaces
    pair.all_ready()
    assert pair.wait(CONFIRM_SECS) == ["shrink", "grow"]
    assert pair.all_ready() == ["promote"]


def test_an_addition_that_was_lost_is_asked_for_again():
    pair = Pair.begun(2, full=False)
    pair.obey = False
    assert pair.ready(201) == ["shrink"]
    pair.old.pop(101)
    pair.wanted[False] = 1
    assert pair.tell(ev.Counted(1), ev.Exited(InstanceId(101, 101))) == ["grow"]
    pair.obey = True
    assert pair.wait(CONFIRM_SECS) == ["grow"]
    assert pair.all_ready() == ["promote"]


def test_a_signal_whose_effect_was_told_to_nobody_is_seen_in_the_workers():
    pair = Pair.begun(2, full=False)
    pair.obey = False
    assert pair.ready(201) == ["shrink"]
    pair.wanted[False] = 1
    assert pair.die(101) == []
    assert pair.wait(CONFIRM_SECS) == ["grow"]
    pair.new[202] = False
    pair.tell(ev.Started(InstanceId(202, 202), 2))
    pair.ready(202)
    assert pair.moves[-1] == "grow"
    assert pair.wait(CONFIRM_SECS) == ["promote"]


def test_a_successor_is_sent_no_signal_before_it_has_workers():
    """It would stop it: its handlers are not installed yet."""
    pair = Pair(2, full=False, max_surge="0", max_unavailable="1")
    pair.obey = False
    pair.begin()
    pair.wanted[False] = 1
    pair.old.pop(101)
    assert pair.tell(ev.Counted(1), ev.Exited(InstanceId(101, 101))) == ["start"]
    assert pair.tell(ev.SuccessorStarted(NEW)) == []
    pair.new[201] = False
    assert pair.tell(ev.Started(InstanceId(201, 201), 1)) == ["grow"]


def test_a_pause_holds_the_promotion():
    pair = Pair.begun(1)
    pair.tell(ev.Paused("me"))
    assert pair.ready(201) == []
    assert pair.rollout.state == PAUSED
    assert pair.tell(ev.Resumed("me")) == ["promote"]


def test_what_was_asked_of_supervisord_can_be_asked_again_and_means_the_same():
    pair = Pair(1)
    pair.obey = False
    pair.begin()
    assert pair.rollout.unanswered_requests() == [ev.StartSuccessor()]
    pair.tell(
        ev.SuccessorStarted(NEW), ev.SuccessorStarted(NEW), ev.Started(InstanceId(201, 201), 1)
    )
    assert pair.rollout.unanswered_requests() == []
    pair.new[201] = False
    assert pair.ready(201) == ["promote"]
    assert pair.rollout.unanswered_requests() == [ev.Promote()]
    pair.tell(ev.Promoted(), ev.Promoted())
    assert [tell.kind for tell in pair.tells].count("promoted") == 1


def test_an_event_after_the_end_is_illegal():
    pair = Pair.begun(1, ready=[201])
    pair.end(successor=False)
    with pytest.raises(IllegalEvent):
        pair.rollout.handle(ev.TimePassed(), 99.0)


# --- whatever happens -----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_whatever_happens_what_serves_keeps_serving_and_it_ends(data: st.DataObject):
    workers = data.draw(st.integers(1, 5), "workers")
    full = data.draw(st.booleans(), "full")
    surge = data.draw(st.sampled_from(["0", "1", "2", "50%"]), "surge")
    pair = Pair(
        workers,
        full,
        max_surge=surge,
        max_unavailable="1" if surge == "0" else "0",
        ready_timeout_secs="30",
        canary=data.draw(st.sampled_from(["", "1"]), "canary"),
        min_ready_secs=data.draw(st.sampled_from(["0", "3"]), "bake"),
    )
    pair.begin()
    for _ in range(60):
        if pair.over:
            break
        steps = ["wait", "abort", "fail", "end successor", "pause", "resume"]
        steps += ["ready"] * 8 if pair.booting else []
        steps += ["drained"] * 3 if pair.rollout.promoted else []
        step = data.draw(st.sampled_from(steps), "step")
        if step == "ready":
            pair.ready(data.draw(st.sampled_from(pair.booting), "pid"))
        elif step == "wait":
            pair.wait(data.draw(st.sampled_from([0.5, 3.0, 31.0]), "secs"))
        elif step == "abort":
            if pair.rollout.kept_since is not None:  # once more: at any price
                pair.floor = min(pair.floor, sum(pair.old.values()))
            pair.tell(ev.Aborted("me"))
        elif step == "fail" and not pair.rollout.promoted:
            pair.tell(ev.PrerequisiteFailed("it failed"))
        elif step == "end successor" and pair.alive[True] and not pair.rollout.promoted:
            # The workers of a successor that dies are lost with it: nobody can promise more.
            pair.floor = min(pair.floor, sum(pair.old.values()))
            pair.end(successor=True)
        elif step == "drained":
            pair.end(successor=False)
        elif step in ("pause", "resume"):
            pair.tell(ev.Paused("me") if step == "pause" else ev.Resumed("me"))
    pair.tell(ev.Resumed("me")) if not pair.over else None
    for _ in range(200):
        if pair.over:
            break
        pair.all_ready()
        if pair.rollout.promoted:
            pair.end(successor=False)
        pair.wait(31.0)
    assert pair.over
    if pair.rollout.state == COMPLETE:
        assert len(pair.new) == workers and all(pair.new.values())
    else:
        assert not pair.alive[True]
        assert len(pair.old) == workers or "left with" in pair.rollout.why


# --- what is heard late, twice or never -----------------------------------------------------------


def test_what_the_old_arbiter_counts_after_the_promotion_is_nobodys_count():
    pair = Pair.begun(1, ready=[201])
    pair.tell(ev.Counted(0))
    pair.end(successor=False)
    assert (pair.rollout.state, pair.rollout.count) == (COMPLETE, 1)


def test_a_look_at_workers_without_a_signal_under_way_means_nothing_but_who_is_there():
    pair = Pair.begun(2)
    helper = InstanceId(150, 150)
    assert pair.tell(ev.Observed((*map(_id, pair.old), helper))) == []
    assert pair.rollout.count == 2
    assert [one.id for one in pair.rollout.instances if not one.heard] == [helper]


def test_an_addition_to_the_successor_that_never_shows_fails_the_rollout():
    pair = Pair.begun(2, full=False)
    pair.obey = False
    assert pair.ready(201) == ["shrink"]
    pair.old.pop(101)
    assert pair.tell(ev.Counted(1), ev.Exited(_id(101))) == ["grow"]
    pair.wait(4 * CONFIRM_SECS)
    assert "did not react to TTIN (the successor) within 15 s" in pair.rollout.why


class _Deaf(Pair):
    """Its old arbiter hears no TTIN."""

    def _act(self, action: ev.Action) -> None:
        if action != ev.AddInstance():
            super()._act(action)


def test_an_old_arbiter_that_hears_no_signal_gets_its_workers_back_no_more():
    pair = _Deaf.begun(3, full=False, ready_timeout_secs="600", ready=[201])
    pair.floor = 2
    pair.tell(ev.Aborted("me"))
    pair.wait(4 * CONFIRM_SECS)
    assert pair.moves.count("old grows") == REPEATS + 1
    text = "an arbiter did not react to TTIN (the old one) within 15 s"
    assert pair.rollout.unrecoverable_why == text


def test_a_worker_of_the_old_arbiter_that_exits_while_it_boots_is_not_asked_for_again_and_again():
    pair = Pair.begun(3, full=False, ready=[201])
    pair.tell(ev.Aborted("me"))
    pair.floor = 0
    while not pair.booting or pair.booting[0] > 200:
        pair.all_ready()
    pair.die(pair.booting[0])
    why = "a worker of the old arbiter exited while it booted"
    assert pair.rollout.unrecoverable_why == why
