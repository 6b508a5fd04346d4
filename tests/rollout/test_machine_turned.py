"""Scripted rollouts that turn: a bad release, or an abort. What served keeps serving."""

from __future__ import annotations

import pytest

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.timing import SETTLE_SECS, STOP_GRACE_SECS
from supervisor_roll.rollout.words import ABORTED, FAILED, PROGRESSING
from tests.rollout.history import History


def in_place(workers: int = 2, **values: str) -> History:
    return History.begun(workers, max_surge="0", max_unavailable="1", **values)


# --- a bad release -----------------------------------------------------------------------------


def test_a_fresh_instance_that_dies_while_booting_fails_the_rollout_and_touches_nothing():
    history = History.begun(2)
    assert history.exit(3, "ImportError: no module named app") == []
    assert history.rollout.why == (
        "worker 1003 exited while it booted (ImportError: no module named app)"
    )
    assert history.last("broken") == {"why": history.rollout.why, "pid": 1003}
    assert history.last("failed")["outdated"] == [1001, 1002]
    history.check_end(FAILED)


def test_a_fresh_instance_that_says_it_cannot_boot_is_stopped_and_named_with_the_reason():
    history = History.begun(2)
    assert history.fail_to_boot(3, "ImportError: app") == ["stop 3"]
    history.exit(3)
    assert history.rollout.why == "worker 1003 failed to boot: ImportError: app"
    history.check_end(FAILED)


def test_in_place_one_that_cannot_boot_is_left_to_the_arbiter():
    history = in_place()
    history.exit(1)
    assert history.fail_to_boot(3, "ImportError: app") == []
    assert history.last("failed")["outdated"] == [1002]
    history.check_end(FAILED)


def test_after_some_were_replaced_a_failure_keeps_both_the_fresh_and_the_outdated():
    history = History.begun(3, ready=[4])
    history.exit(1)
    assert history.exit(5) == []
    assert history.last("failed")["outdated"] == [1002, 1003]
    assert history.last("failed")["fresh"] == [1004]
    assert len(history.arbiter.serving) == 3
    history.check_end(FAILED)


@pytest.mark.parametrize("budget", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_bad_release_never_lowers_the_count_though_some_may_be_unavailable(
    budget: tuple[int, int],
):
    history = History.begun(4, max_surge=str(budget[0]), max_unavailable=str(budget[1]))
    history.finish(good=False)
    assert history.rollout.state == FAILED
    assert len(history.arbiter.serving) >= 4 - budget[1]
    assert history.arbiter.num_workers == 4


def test_a_fresh_instance_that_is_never_ready_is_stopped_and_then_killed():
    history = History.begun(2, ready_timeout_secs="30")
    history.load(3)
    assert history.wait(30.0) == ["stop 3"]
    assert history.wait_until(30.0 + STOP_GRACE_SECS) == ["kill 3"]
    assert history.last("stuck") == {"pid": 1003, "secs": 5.0, "signal": "KILL"}
    assert history.rollout.why == "worker 1003 was not ready within 30 s"
    history.check_end(FAILED)


def test_a_fresh_instance_that_goes_when_it_is_stopped_is_not_killed():
    history = History.begun(2, ready_timeout_secs="30")
    assert history.wait(30.0) == ["stop 3"]
    assert history.exit(3) == []
    assert history.rollout.state == FAILED
    assert "it had not loaded its application" in history.rollout.why


def test_the_last_health_check_is_in_the_reason():
    history = History.begun(2, ready_timeout_secs="30")
    history.unready(3, "503 Service Unavailable")
    history.wait(30.0)
    assert history.rollout.why == (
        "worker 1003 was not ready within 30 s; its last health check: 503 Service Unavailable"
    )


def test_a_death_before_min_ready_secs_are_over_fails_the_rollout():
    history = History.begun(2, min_ready_secs="10", ready=[3])
    history.wait(4.0)
    history.exit(3, "signal 9")
    assert history.rollout.why == "worker 1003 exited before it was available (signal 9)"
    history.check_end(FAILED)


def test_a_fresh_one_that_falls_ill_while_it_bakes_fails_the_rollout():
    history = History.begun(1, min_ready_secs="10", ready=[2])
    history.wait(6.0)
    assert history.unready(2, "503") == ["stop 2"]
    history.exit(2)
    assert history.rollout.why.endswith("was ready, and then failed its health check: 503")
    history.check_end(FAILED)


def test_an_available_instance_that_falls_ill_fails_the_rollout():
    history = History.begun(2, ready_timeout_secs="30")
    history.ready(3)  # 1 is retired for it, and 4 is added
    history.exit(1)
    assert history.unready(3, "503") == ["stop 4"]
    history.exit(4)
    assert history.last("failed")["outdated"] == [1002]
    history.check_end(FAILED)


def test_in_place_a_bad_release_ends_with_one_missing_and_the_others_untouched():
    history = in_place(3)
    history.exit(1)
    assert history.exit(4, "ImportError") == []
    assert history.last("failed")["outdated"] == [1002, 1003]
    history.check_end(FAILED)


def test_an_arbiter_that_replaces_nobody_fails_the_rollout():
    history = in_place(2, ready_timeout_secs="30")
    history.at_once = False
    history.tell(ev.Exited(history.arbiter.aged(1).id))
    history.wait(30.0)
    assert history.rollout.wanted == FAILED
    history.wait(SETTLE_SECS)
    assert history.rollout.state == FAILED
    assert history.rollout.why == (
        "the arbiter started no worker within 30 s; the worker count is 2 with 1 running,"
        " 2 are desired"
    )


# --- an abort ----------------------------------------------------------------------------------


def test_an_abort_stops_the_surplus_instance_that_still_boots():
    history = History.begun(2)
    assert history.abort("alice") == ["stop 3"]
    assert history.exit(3) == []
    assert (history.rollout.state, history.rollout.why) == (ABORTED, "aborted by alice")
    history.check_end()


def test_an_abort_stops_the_surplus_instance_that_is_ready_but_not_available():
    history = History.begun(2, min_ready_secs="10", ready=[3])
    assert history.abort() == ["stop 3"]
    assert history.exit(3) == []
    assert history.last("aborted")["outdated"] == [1001, 1002]
    history.check_end(ABORTED)


def test_an_abort_while_a_signal_is_under_way_waits_for_what_it_brings():
    history = History(2, at_once=False)
    assert history.begin() == ["add"]
    assert history.abort() == []
    assert history.rollout.state == PROGRESSING
    history.at_once = True
    assert history.wait(1.0) == ["stop 3"]
    history.exit(3)
    history.check_end(ABORTED)


def test_an_abort_while_the_last_one_is_retired_keeps_what_replaces_it():
    history = History.begun(2)
    history.at_once = False
    history.ready(3)
    while history.arbiter.inbox:
        history.deliver()
    assert history.abort() == ["remove oldest"]
    history.at_once = True
    assert history.wait(1.0) == []
    history.exit(1)
    assert history.last("aborted")["fresh"] == [1003]
    assert len(history.arbiter.serving) == 2
    history.check_end(ABORTED)


def test_an_abort_in_place_waits_until_the_stopped_one_is_replaced():
    history = in_place()
    assert history.abort() == []
    assert history.exit(1) == []
    assert history.rollout.state == PROGRESSING
    assert history.ready(3) == []
    assert history.last("aborted")["outdated"] == [1002]
    history.check_end(ABORTED)


def test_an_abort_in_place_does_not_wait_for_ever_for_a_release_that_cannot_boot():
    history = in_place(ready_timeout_secs="30")
    history.abort()
    history.exit(1)
    for age in range(3, 15):
        history.exit(age, "ImportError")
        history.wait(2.0)
    assert history.rollout.state == PROGRESSING
    assert history.wait_until(30.0) == []
    history.check_end(ABORTED)


def test_the_first_reason_to_end_stays():
    history = History.begun(2)
    history.abort("alice")
    history.abort("bob")
    history.exit(3, "signal 15")
    assert (history.rollout.state, history.rollout.why) == (ABORTED, "aborted by alice")


def test_one_too_many_that_would_be_replaced_goes_with_the_count_though_it_is_fresh():
    history = History.begun(1, min_ready_secs="60", ready=[2])
    history.arbiter.aged(2).surplus = False
    history.tell(ev.Started(history.arbiter.aged(2).id, 0, surplus=False))  # now it is the oldest
    assert history.abort() == ["remove oldest"]
    assert [one.age for one in history.rollout.instances.leaving] == [0]
