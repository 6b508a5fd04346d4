"""Workers that say that they are past a limit: who is replaced, when, in which order, and at
what cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.listener.recycling.back_off import FIRST_SECS, MOST_SECS, BackOff
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.mailbox import ABORT, BY_LISTENER, DRY_RUN, IDLE, PAUSE, RECYCLE
from supervisor_roll.wire.messages import Ack, Booting, Due, Failed, Loaded, Message, Ready
from tests.fakes.program import BOOT, Program
from tests.fakes.site import LISTENER_PID, Site, ready_site, site_with

WHY = "612 requests, limit 600"


def due(site: Site, program: Program, *ages: int, over: float = 1.02) -> None:
    for age in ages:
        program.due(age, WHY, over)
    site.settle()


def wait(site: Site, program: Program, secs: float, age: int) -> None:
    """Let time pass, in which the worker says again and again that it is due."""
    until = site.now + secs
    while site.now < until:
        site.pass_time(min(5.0, until - site.now))
        if age in program.serving:
            due(site, program, age)


def answers(site: Site, kind: type[Message]) -> list[Ack]:
    return [one.sent for one in site.answers if isinstance(one.message, kind) and one.sent]


def test_a_worker_that_is_ready_hears_that_it_is_recycled() -> None:
    site, _ = ready_site(1, myapp={"recycle_grace_secs": "120"})
    [answer] = answers(site, Ready)
    assert (answer.recycle, answer.grace_secs) == (True, 120.0)


@pytest.mark.parametrize(
    "facts",
    [{"missing": "pre_fork"}, {"reuse_port": True}, {"reload": True}],
    ids=lambda facts: next(iter(facts)),
)
def test_one_that_could_not_be_replaced_keeps_gunicorns_own_limit(facts: dict[str, Any]) -> None:
    site = Site()
    site.start("myapp", 1, **facts)
    site.settle()
    [answer] = answers(site, Ready)
    assert not answer.recycle


def test_it_is_replaced_by_one_boot_though_it_is_not_the_oldest() -> None:
    site, program = ready_site(4)
    due(site, program, 3)
    assert site.signals == ["TTIN myapp", "TTOU myapp"]
    assert program.serving == [1, 2, 4, 5]
    assert (site.least_serving["myapp"], site.most_staying["myapp"]) == (4, 5)
    assert program.num_workers == 4
    assert site.supervisord.mailbox.statuses.get("myapp") is None, "it was not rolled"


def test_several_go_one_by_one_those_furthest_over_first() -> None:
    site, program = ready_site(4)
    for age, over in ((2, 1.1), (3, 1.5), (4, 1.2)):
        program.due(age, WHY, over)
    site.settle()
    exits = [one for one in site.exits if one % 10 in (2, 3, 4)]
    assert [pid % 10 for pid in exits] == [3, 4, 2]
    assert program.serving == [1, 5, 6, 7]
    assert (site.least_serving["myapp"], site.most_staying["myapp"]) == (4, 5)
    assert site.signals == ["TTIN myapp", "TTOU myapp"] * 3


def test_a_storm_of_32_goes_one_by_one_too() -> None:
    site, program = ready_site(32)
    due(site, program, *range(1, 33))
    assert program.serving == [*range(33, 65)]
    assert (site.least_serving["myapp"], site.most_staying["myapp"]) == (32, 33)
    assert site.signals == ["TTIN myapp", "TTOU myapp"] * 32


def test_with_a_surge_that_was_given_so_many_go_at_a_time_and_never_in_place() -> None:
    site, program = ready_site(4, myapp={"max_surge": "2", "max_unavailable": "1"})
    for age in (1, 2, 3):
        program.due(age, WHY)
    site.settle()
    assert program.serving == [4, 5, 6, 7]
    assert (site.least_serving["myapp"], site.most_staying["myapp"]) == (4, 6)


def test_with_recycle_false_it_is_left_to_gunicorn() -> None:
    site, program = ready_site(2)
    site.settings["myapp"] = Settings.parsed({"recycle": "false"})
    due(site, program, 1)
    assert not answers(site, Due)[-1].recycle
    assert site.signals == []


def test_a_broken_release_leaves_the_old_workers_serving_and_is_tried_again_later_and_later() -> (
    None
):
    site, program = ready_site(2)
    program.boots = lambda age: BOOT if age <= 2 else (Booting, Loaded, Failed, None)
    due(site, program, 1)
    assert program.serving == [1, 2]
    assert program.num_workers == 2
    assert site.signals == ["TTIN myapp", "SIGTERM 5000013"]
    status = site.supervisord.mailbox.statuses["myapp"]
    assert status.state == IDLE
    assert "recycling failed" in status.recycling
    due(site, program, 1)
    assert answers(site, Due)[-1].more_grace, "it is not to leave without a replacement"
    wait(site, program, FIRST_SECS - 1, 1)
    assert site.signals.count("TTIN myapp") == 1
    wait(site, program, 2, 1)
    assert site.signals.count("TTIN myapp") == 2
    wait(site, program, FIRST_SECS + 1, 1)
    assert site.signals.count("TTIN myapp") == 2, "twice as long as the first time"
    program.boots = lambda age: BOOT
    wait(site, program, FIRST_SECS, 1)
    assert len(program.serving) == 2
    assert 1 not in program.serving
    assert site.least_serving["myapp"] == 2
    assert site.supervisord.mailbox.statuses.get("myapp") is None


def test_a_failed_recycling_counts_for_no_rollout() -> None:
    site, program = ready_site(2)
    job = site.ask("myapp")
    assert site.is_done(job)
    before = site.supervisord.mailbox.statuses["myapp"]
    program.boots = lambda age: (Booting, Loaded, Failed, None)
    due(site, program, 3)
    after = site.supervisord.mailbox.statuses["myapp"]
    assert (after.state, after.job, after.ended) == (before.state, before.job, before.ended)
    assert after.recycling


def test_while_a_rollout_runs_a_worker_is_kept_and_its_place_in_the_order_stays() -> None:
    site, program = ready_site(2)
    program.boots = lambda age: BOOT if age <= 2 else BOOT[:2]
    site.ask("myapp")
    due(site, program, 2)
    assert answers(site, Due)[-1].more_grace
    assert not answers(site, Due)[-1].retire_age


def test_a_rollout_retires_what_is_due_first_and_knows_it() -> None:
    site, program = ready_site(3)
    program.boots = lambda age: BOOT if age <= 3 else (Booting, Loaded, Failed, None)
    due(site, program, 2)  # the recycling fails, and 2 stays the next to go
    program.boots = lambda age: BOOT
    site.forget_observations()
    job = site.ask("myapp")
    assert site.is_done(job)
    replaced = [one.facts["old"] for one in site.found(job)[0] if one.kind == "replaced"]
    assert [pid % 10 for pid in replaced] == [2, 1, 3]
    assert site.least_serving["myapp"] == 3


def test_one_that_was_just_given_its_place_is_waited_for() -> None:
    site, program = ready_site(2)
    program.deaf_to_due = True
    due(site, program, 2)
    assert answers(site, Due)[-1].retire_age < 0
    job = site.ask("myapp")
    site.pass_time(5)
    assert site.signals == [], "it may take its place at any moment"
    site.pass_time(6)
    assert site.is_done(job)


def test_a_paused_one_does_not_keep_the_worker_for_ever() -> None:
    site, program = ready_site(2)
    program.boots = lambda age: BOOT if age <= 2 else BOOT[:2]
    due(site, program, 1)
    site.ask("myapp", kind=PAUSE)
    due(site, program, 1)
    assert not answers(site, Due)[-1].more_grace
    site.ask("myapp", kind=ABORT)
    assert program.serving == [1, 2]


def test_what_is_due_and_what_has_failed_survives_the_listener() -> None:
    site, program = ready_site(2)
    program.boots = lambda age: BOOT if age <= 2 else (Booting, Loaded, Failed, None)
    due(site, program, 1)
    site.restart()
    wait(site, program, FIRST_SECS - 5, 1)
    assert site.signals.count("TTIN myapp") == 1
    program.boots = lambda age: BOOT
    wait(site, program, 10, 1)
    assert site.signals.count("TTIN myapp") == 2
    assert 1 not in program.serving


def test_the_listener_does_not_rest_while_one_that_is_due_has_to_wait() -> None:
    site, program = ready_site(2)
    program.boots = lambda age: BOOT if age <= 2 else (Booting, Loaded, Failed, None)
    site.pass_time(20)
    assert site.coordinator.watched_at_rest() is not None
    due(site, program, 1)
    site.pass_time(20)
    assert not site.coordinator.active.runs
    assert site.coordinator.watched_at_rest() is None
    program.boots = lambda age: BOOT
    wait(site, program, FIRST_SECS, 1)
    site.pass_time(20)
    assert 1 not in program.serving
    assert site.coordinator.watched_at_rest() is not None


@pytest.mark.parametrize("point", range(0, 24))
def test_a_listener_that_is_killed_at_any_point_takes_it_up(point: int) -> None:
    site, program = ready_site(3)
    site.killed_at = point
    due(site, program, 2)
    site.pass_time(120)
    due(site, program, *([2] if 2 in program.serving else []))
    site.pass_time(120)
    assert len(program.serving) == program.num_workers == 3
    assert 2 not in program.serving
    assert site.least_serving["myapp"] == 3


def test_it_waits_twice_as_long_each_time_and_an_hour_at_most() -> None:
    back_off = BackOff()
    waited = []
    for _ in range(12):
        back_off.failed("why", broken=True, now=1000.0)
        waited.append(back_off.until - 1000.0)
    assert waited[:3] == [FIRST_SECS, 2 * FIRST_SECS, 4 * FIRST_SECS]
    assert waited[-1] == MOST_SECS


def test_fresh_code_that_comes_this_way_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "v1")
    site, program = ready_site(2, myapp={"release": str(link)})
    due(site, program, 1)
    assert "another release" not in caplog.text
    link.unlink()
    link.symlink_to(tmp_path / "v2")
    due(site, program, 2)
    [pid] = [pid for pid, one in program.workers.items() if one.born == 4]
    assert f"worker {pid} runs another release (v2) than the others (v1)" in caplog.text


# --- a rollout goes first --------------------------------------------------------------------


def recycling_site() -> tuple[Site, Program]:
    """A site where a recycling waits for a worker that boots."""
    site, program = ready_site(2)
    program.boots = lambda age: BOOT if age != 3 else BOOT[:2]
    due(site, program, 2)
    assert site.signals == ["TTIN myapp"]
    return site, program


def test_a_rollout_that_is_asked_for_begins_once_the_recycling_is_given_up() -> None:
    site, program = recycling_site()
    job = site.ask("myapp")
    assert site.is_done(job)
    assert [kind for _, kind in site.reports(job)] == [
        "note",
        "began",
        "replaced",
        "replaced",
        "complete",
    ]
    assert program.serving == [4, 5]
    assert site.least_serving["myapp"] == 2


def test_what_waits_for_it_survives_the_listener() -> None:
    site, program = recycling_site()
    program.busy = True  # what the recycling has started takes its time to leave
    job = site.ask("myapp")
    assert not site.is_done(job)
    site.restart()
    assert not site.is_done(job)
    program.drained()
    program.busy = False
    site.pass_time(120)
    assert site.is_done(job)
    assert program.serving == [4, 5]


def test_a_dry_run_waits_for_it_and_ends_nothing() -> None:
    site, program = recycling_site()
    job = site.ask("myapp", kind=DRY_RUN, preflight="false")
    assert not site.is_done(job)
    program.say(next(pid for pid, one in program.workers.items() if one.born == 3), Ready)
    site.settle()
    assert site.is_done(job)
    assert program.serving == [1, 3]


def test_it_does_not_begin_with_a_program_that_a_job_is_yet_to_come_to() -> None:
    site = site_with(first=2, second=2)
    first, second = site.programs["first"], site.programs["second"]
    first.boots = lambda age: BOOT if age <= 2 else BOOT[:2]
    job = site.ask("first", "second")
    due(site, second, 1)
    assert site.signals == ["TTIN first"]
    for pid, one in list(first.workers.items()):
        if one.born == 3:
            first.boots = lambda age: BOOT
            first.say(pid, Ready)
    site.settle()
    assert site.is_done(job)
    assert second.serving == [3, 4]


# --- by hand ----------------------------------------------------------------------------------


def pids_of(program: Program, *ages: int) -> list[int]:
    return [program.aged(age).pid for age in ages]


def test_these_workers_are_replaced_by_hand_each_by_one_boot() -> None:
    site, program = ready_site(4)
    job = site.ask("myapp", kind=RECYCLE, pids=pids_of(program, 3, 2))
    site.pass_time(2)
    assert site.is_done(job)
    assert [kind for _, kind in site.reports(job)][-1] == "complete"
    assert program.serving == [1, 4, 5, 6]
    assert [one for one in site.signals if "TT" in one] == ["TTIN myapp", "TTOU myapp"] * 2
    assert site.least_serving["myapp"] == 4
    assert "as asked for" in str(site.facts(job, "began")["reasons"])


def test_without_pids_it_is_the_one_with_the_most_memory() -> None:
    site, program = ready_site(3)
    site.table.own = dict(zip(pids_of(program, 1, 2, 3), (100, 300, 200), strict=True))
    job = site.ask("myapp", kind=RECYCLE)
    site.pass_time(2)
    assert site.is_done(job)
    assert program.serving == [1, 3, 4]


def test_what_is_no_worker_of_the_program_is_refused_with_its_workers() -> None:
    site = site_with(first=1, second=1)
    [other] = pids_of(site.programs["second"], 1)
    job = site.ask("first", kind=RECYCLE, pids=[other, LISTENER_PID])
    assert site.is_done(job)
    own = pids_of(site.programs["first"], 1)[0]
    assert site.facts(job, "refused")["why"] == (
        f"no worker of it: {other}, {LISTENER_PID}; its workers are {own}"
    )
    assert site.signals == []


def test_by_hand_it_is_refused_while_the_program_is_rolled() -> None:
    site, program = ready_site(2)
    program.boots = lambda age: BOOT[:2]
    site.ask("myapp")
    job = site.ask("myapp", kind=RECYCLE)
    assert "is being rolled already" in site.facts(job, "refused")["why"]


def test_one_that_does_not_say_that_it_is_due_is_not_replaced() -> None:
    site, program = ready_site(2)
    program.deaf_to_due = True
    job = site.ask("myapp", kind=RECYCLE, pids=pids_of(program, 1))
    site.pass_time(5)
    assert not site.is_done(job)
    site.pass_time(10)
    assert site.is_done(job)
    assert "do not say that they would" in site.facts(job, "refused")["why"]
    program.deaf_to_due = False
    program.due(1, "")
    site.settle()
    assert answers(site, Due)[-1].unasked, "nobody wants it any more"


@pytest.mark.parametrize("by", ["the operator", BY_LISTENER])
def test_one_that_fails_by_hand_is_not_tried_again_whoever_its_caller_says_to_be(by: str) -> None:
    site, program = ready_site(2)
    program.boots = lambda age: (Booting, Loaded, Failed, None)
    job = site.ask("myapp", kind=RECYCLE, pids=pids_of(program, 1), by=by)
    site.pass_time(2)
    assert site.reports(job)[-1] == ("myapp", "failed")
    wait(site, program, 2 * FIRST_SECS, 3)
    assert site.signals.count("TTIN myapp") == 1
    assert program.serving == [1, 2]


def test_a_listener_that_may_not_signal_the_worker_refuses_it() -> None:
    site, _ = ready_site(2)
    site.table.forbidden = True
    job = site.ask("myapp", kind=RECYCLE)
    assert "may not signal worker" in site.facts(job, "refused")["why"]
    assert site.is_done(job)
