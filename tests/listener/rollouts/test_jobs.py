"""From a request to the last program's end: what is rolled, in which order, and how it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import get_args

import pytest

from supervisor_roll.listener.rollouts.log_text import spoken
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.reports import Began, Broken, Facts, Failed, Refused, Replaced, Skipped
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED
from supervisor_roll.wire.mailbox import ABORT
from supervisor_roll.wire.messages import Booting, Loaded, Unready
from tests.fakes.site import BOOT, PIDS, Site, site_with


def old_boots_then(*kinds: str | None, old: int = 2) -> object:
    """Workers up to the age ``old`` boot well; of later ones this is what they say."""
    return lambda age: BOOT if age <= old else kinds


# --- no room for a process ------------------------------------------------------------------------


def test_a_worker_that_cannot_be_started_fails_the_rollout_and_the_count_is_as_before() -> None:
    site = site_with(myapp=2)
    site.programs["myapp"].no_forks = "the arbiter could not start a worker: EAGAIN"
    job = site.ask("myapp")
    assert site.reports(job) == [("myapp", Began.kind), ("myapp", Broken.kind), ("myapp", FAILED)]
    assert site.facts(job, FAILED)["why"] == "the arbiter could not start a worker: EAGAIN"
    assert site.signals == ["TTIN myapp"]
    assert site.programs["myapp"].serving == [1, 2]
    assert site.programs["myapp"].num_workers == 2
    # It is no trouble of the program's: nobody waits for that worker any more.
    assert site.coordinator.registry.siblings("myapp")[0].boot_failure == ""


def test_in_place_no_other_is_stopped_once_a_replacement_could_not_be_started() -> None:
    site = site_with(myapp=3)
    site.programs["myapp"].no_forks = "the arbiter could not start a worker: EAGAIN"
    job = site.ask("myapp", max_surge="0", max_unavailable="1")
    site.pass_time(60)
    assert "could not start a worker: EAGAIN" in site.facts(job, FAILED)["why"]
    assert len(site.signals) == 1
    assert len(site.programs["myapp"].serving) == 2
    assert "EAGAIN" in site.coordinator.registry.siblings("myapp")[0].boot_failure


# --- a rollout --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_worker_is_replaced_without_one_fewer_ready(workers: int) -> None:
    site = site_with(myapp=workers)
    job = site.ask("myapp")
    assert site.reports(job) == [
        ("myapp", kind) for kind in [Began.kind, *[Replaced.kind] * workers, COMPLETE]
    ]
    assert site.is_done(job)
    assert site.signals == ["TTIN myapp", "TTOU myapp"] * workers
    assert site.programs["myapp"].serving == list(range(workers + 1, 2 * workers + 1))
    assert site.least_serving["myapp"] == workers
    assert site.most_staying["myapp"] == workers + 1


def test_the_reports_say_what_happened() -> None:
    site = site_with(myapp=2)
    job = site.ask("myapp")
    site.check_facts(
        job,
        Began.kind,
        workers=2,
        desired=2,
        ready=2,
        max_surge=1,
        max_unavailable=0,
        arbiter=PIDS + 100,
        strategy="workers",
    )
    site.check_facts(
        job,
        Replaced.kind,
        old=PIDS + 102,
        new=PIDS + 104,
        boot_secs=1.5,
        health="",
        done=2,
        total=2,
    )
    complete = site.facts(job, COMPLETE)
    assert (complete["replaced"], complete["total"], complete["min_ready"]) == (2, 2, 2)
    status = site.supervisord.mailbox.statuses["myapp"]
    assert (status.state, status.by, status.job) == (COMPLETE, "the operator", job)
    assert (status.done, status.total, status.ready, status.desired) == (2, 2, 2, 2)
    assert status.ended is not None


def test_a_program_is_rolled_with_its_own_settings_and_the_requests_over_them() -> None:
    site = Site(myapp={"max_surge": "2", "min_ready_secs": "5"})
    site.start("myapp", workers=2)
    site.settle()
    job = site.ask("myapp", min_ready_secs="1")
    assert site.facts(job, Began.kind)["max_surge"] == 2
    assert not site.is_done(job)
    site.pass_time(1)
    assert site.is_done(job)


def test_without_a_surge_each_worker_is_stopped_first() -> None:
    site = site_with(myapp=3)
    job = site.ask("myapp", max_surge="0", max_unavailable="1")
    assert site.is_done(job)
    assert site.signals == ["SIGTERM 5000101", "SIGTERM 5000102", "SIGTERM 5000103"]
    assert site.least_serving["myapp"] == 2
    assert site.most_staying["myapp"] == 3


def test_a_status_is_progressing_until_the_end() -> None:
    site = site_with(myapp=2)
    job = site.ask("myapp", min_ready_secs="10")
    status = site.supervisord.mailbox.statuses["myapp"]
    assert (status.state, status.total, status.ended) == ("progressing", 2, None)
    site.pass_time(60)
    assert site.is_done(job)
    assert site.supervisord.mailbox.statuses["myapp"].state == COMPLETE


# --- a bad release ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "says", [(Booting, None), (Booting, Loaded, None), (Booting, Loaded, Unready, None)]
)
def test_a_release_whose_worker_dies_takes_nothing_down(says: Iterable[str | None]) -> None:
    site = site_with(myapp=2)
    site.programs["myapp"].boots = old_boots_then(*says)
    job = site.ask("myapp")
    assert site.reports(job) == [("myapp", Began.kind), ("myapp", Broken.kind), ("myapp", FAILED)]
    assert "worker 5000103 exited" in site.facts(job, FAILED)["why"]
    assert site.is_done(job)
    assert site.programs["myapp"].serving == [1, 2]
    assert site.programs["myapp"].num_workers == 2
    assert site.supervisord.mailbox.statuses["myapp"].state == FAILED


def test_a_release_that_is_never_ready_is_stopped_after_its_time() -> None:
    site = site_with(myapp=2)
    site.programs["myapp"].boots = old_boots_then(Booting, Loaded, Unready)
    job = site.ask("myapp", ready_timeout_secs="30")
    site.pass_time(29)
    assert not site.is_done(job)
    site.pass_time(30)
    assert "worker 5000103 was not ready within 30 s" in site.facts(job, FAILED)["why"]
    assert site.signals == ["TTIN myapp", "SIGTERM 5000103"]
    assert site.programs["myapp"].serving == [1, 2]
    assert site.programs["myapp"].num_workers == 2


def test_an_arbiter_that_exits_ends_its_rollout() -> None:
    site = site_with(myapp=2)
    job = site.ask("myapp", min_ready_secs="10")
    site.programs["myapp"].halt()
    site.settle()
    assert "the arbiter (pid 5000100) exited" in site.facts(job, FAILED)["why"]
    assert site.is_done(job)


# --- several requests, several programs -------------------------------------------------------


def test_two_rollouts_of_one_program_at_once_are_refused() -> None:
    site = site_with(myapp=2)
    first = site.ask("myapp", min_ready_secs="10")
    site.pass_time(3)
    second = site.ask("myapp")
    assert site.reports(second) == [("myapp", Refused.kind)]
    assert site.is_done(second)
    why = site.facts(second, Refused.kind)["why"]
    assert "being rolled already, for 3 s, by the operator" in why
    assert "rollstatus --follow myapp" in why
    assert "rollabort myapp" in why
    site.pass_time(60)
    assert site.reports(first)[-1] == ("myapp", COMPLETE)
    third = site.ask("myapp")
    assert site.reports(third)[-1] == ("myapp", COMPLETE)


def test_different_programs_may_be_rolled_by_two_requests_at_once() -> None:
    site = site_with(blue=2, green=2)
    first = site.ask("blue", min_ready_secs="10")
    second = site.ask("green")
    assert site.is_done(second)
    assert not site.is_done(first)
    site.pass_time(60)
    assert site.is_done(first)


def test_the_programs_of_a_request_are_rolled_one_after_the_other() -> None:
    site = site_with(blue=1, green=1, red=1)
    job = site.ask("green", "blue", "red")
    assert site.reports(job) == [
        (name, kind)
        for name in ("green", "blue", "red")
        for kind in (Began.kind, Replaced.kind, COMPLETE)
    ]
    assert site.signals == [
        f"{name} {program}" for program in ("green", "blue", "red") for name in ("TTIN", "TTOU")
    ]


def test_after_one_that_failed_the_rest_of_a_request_is_skipped() -> None:
    site = site_with(blue=1, green=1, red=1)
    site.programs["green"].boots = old_boots_then(Booting, None, old=1)
    job = site.ask("blue", "green", "red")
    assert [
        one for one in site.reports(job) if one[1] not in (Began.kind, Replaced.kind, Broken.kind)
    ] == [("blue", COMPLETE), ("green", FAILED), ("red", Skipped.kind)]
    assert "green failed" in site.facts(job, Skipped.kind)["why"]
    assert site.is_done(job)
    assert "TTIN red" not in site.log
    assert "red" not in site.supervisord.mailbox.statuses


def test_one_that_is_refused_does_not_keep_the_rest_from_being_rolled() -> None:
    site = site_with(blue=1)
    site.start("green", workers=1, pid=PIDS + 500, preload=True)
    site.settle()
    job = site.ask("green", "blue")
    assert site.reports(job)[0] == ("green", Refused.kind)
    assert site.reports(job)[-1] == ("blue", COMPLETE)


def test_a_request_for_very_many_programs_is_carried_out() -> None:
    """`rollrestart all` where supervisord runs hundreds of programs that are no Gunicorns."""
    site = site_with(myapp=1)
    names = [f"other{number}" for number in range(400)]
    for number, name in enumerate(names):
        site.start_other(name, PIDS + 2000 + number, "/bin/cat")
    site.coordinator.processes_changed()
    job = site.ask(*names, "myapp", wildcard=True)
    assert site.is_done(job)
    assert site.reports(job)[-1] == ("myapp", COMPLETE)


# --- abort ------------------------------------------------------------------------------------


def test_an_abort_while_it_gathers_touches_nothing() -> None:
    site = Site()
    site.start_other("myapp", PIDS + 50, "gunicorn: master [app]")
    job = site.ask("myapp", "other")
    abort = site.ask("myapp", kind=ABORT)
    assert site.reports(job) == [("myapp", ABORTED), ("other", Skipped.kind)]
    assert "before anything was touched" in site.facts(job, ABORTED)["why"]
    assert site.is_done(job)
    assert site.is_done(abort)
    assert site.signals == []


def test_an_abort_while_it_rolls_stops_what_was_started_and_keeps_what_serves() -> None:
    site = site_with(blue=3, green=1)
    job = site.ask("blue", "green", min_ready_secs="10")
    site.pass_time(12)  # one is replaced, the next one bakes
    assert site.reports(job)[-1] == ("blue", Replaced.kind)
    abort = site.ask("blue", kind=ABORT)
    site.pass_time(60)
    assert site.is_done(abort)
    assert site.is_done(job)
    assert site.reports(job)[-2:] == [("blue", ABORTED), ("green", Skipped.kind)]
    assert "aborted by the operator" in site.facts(job, ABORTED)["why"]
    program = site.programs["blue"]
    assert program.num_workers == len(program.serving) == 3
    assert site.least_serving["blue"] == 3
    assert site.signals[-1] == "SIGTERM 5000105"


def test_an_abort_of_what_is_not_being_rolled_says_so() -> None:
    site = site_with(myapp=1)
    abort = site.ask("myapp", kind=ABORT)
    assert site.reports(abort) == [("myapp", Refused.kind)]
    assert site.facts(abort, Refused.kind)["why"] == "it is not being rolled"
    assert site.is_done(abort)


def test_a_program_that_an_operator_stops_meanwhile_has_not_failed() -> None:
    """Its workers go first, while supervisord calls it STOPPING."""
    site = site_with(myapp=2)
    program = site.programs["myapp"]
    program.boots = lambda age: (Booting,)
    job = site.ask("myapp")
    program.stop()
    site.settle()
    site.pass_time(5)
    kinds = [kind for _, kind in site.reports(job)]
    assert Broken.kind not in kinds and kinds[-1] == ABORTED
    assert site.facts(job, ABORTED)["why"].startswith("aborted by a stop of the program")


def test_each_action_has_words_in_the_log() -> None:
    one = InstanceId(7, 1)
    for kind in get_args(ev.Action):
        names = {field.name for field in dataclasses.fields(kind)}
        if kind not in (Facts, ev.Look):  # a look changes nothing
            words = spoken(kind(*[one] * ("instance" in names)))
            assert words and kind.__name__ not in words


def test_whatever_goes_wrong_with_one_rollout_costs_no_other_its_turn() -> None:
    site = site_with(odd=2, myapp=2)
    for name in ("odd", "myapp"):
        site.programs[name].boots = lambda age: ()  # its fresh worker is looked for
    odd, job = site.ask("odd", ready_timeout_secs="30"), site.ask("myapp", ready_timeout_secs="30")
    site.table.odd = site.programs["odd"].id.pid
    site.pass_time(90)
    assert [site.reports(one)[-1][1] for one in (odd, job)] == [FAILED, FAILED]
    assert site.is_done(odd)
    assert site.is_done(job)
    assert "within 30 s" in site.facts(job, FAILED)["why"]
    assert site.programs["odd"].serving == site.programs["myapp"].serving == [1, 2]


def test_a_run_whose_rollout_goes_wrong_twice_ends_once() -> None:
    site = site_with(myapp=2)
    job = site.ask("myapp", min_ready_secs="60")
    active = site.coordinator.active
    run = active.runs["myapp"]
    active.finish(run, Failed(why="one thing"))
    active.finish(run, Failed(why="another"))
    site.pass_time(1)
    assert [kind for _, kind in site.reports(job)].count(FAILED) == 1
    assert site.facts(job, FAILED)["why"] == "one thing"
    assert site.is_done(job)


def test_supervisord_reads_its_files_once_a_job_and_again_if_they_have_changed() -> None:
    site = site_with(a=1, b=1, c=1, d=1)
    site.ask("a", "b")
    assert site.supervisord.rereads == 1
    job = site.ask("a", "b", "c", "d", min_ready_secs="10")
    assert site.supervisord.rereads == 2
    site.pass_time(15)
    site.read = None
    site.pass_time(100)
    assert site.is_done(job)
    assert site.supervisord.rereads == 3
