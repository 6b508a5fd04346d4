"""Several programs of one job at once: how many, in which order, and until the first failure."""

from __future__ import annotations

import pytest

from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.reports import ENDS, Began, Broken, Skipped, Warned
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED
from supervisor_roll.wire.mailbox import ABORT, PAUSE, UPDATE
from supervisor_roll.wire.messages import Booting
from supervisor_roll.wire.successor import NEEDS_ARBITER, Change, Reread
from tests.fakes.site import BOOT, PIDS, Site, save, saved, site_with


def site_of(programs: str, workers: int = 1) -> Site:
    """Each letter is a program."""
    return site_with(**dict.fromkeys(programs, workers))


def begun(site: Site, job: str) -> list[str]:
    return [program for program, kind in site.reports(job) if kind == Began.kind]


def ends(site: Site, job: str) -> list[tuple[str, str]]:
    return [(program, kind) for program, kind in site.reports(job) if kind in ENDS]


def under_way(site: Site) -> list[str]:
    return list(site.coordinator.active.runs)


@pytest.mark.parametrize("parallel", [1, 2, 3, 64])
def test_so_many_are_rolled_at_once_and_begun_in_the_order_asked_for(parallel: int) -> None:
    site = site_of("abcde")
    job = site.ask(*"cabed", parallel=parallel, min_ready_secs="10")
    most = 0
    while not site.is_done(job):
        assert len(under_way(site)) <= parallel
        most = max(most, len(under_way(site)))
        site.pass_time(1)
    assert most == min(parallel, 5)
    assert begun(site, job) == list("cabed")
    assert set(ends(site, job)) == {(program, COMPLETE) for program in "abcde"}
    assert site.least_serving == dict.fromkeys("abcde", 1)


def test_the_next_begins_as_one_ends_whichever_that_is() -> None:
    site = site_of("abcd")
    site.programs["a"].boots = lambda age: (Booting,)
    job = site.ask(*"abcd", parallel=2, ready_timeout_secs="600")
    assert under_way(site) == ["a"]
    assert ends(site, job) == [(program, COMPLETE) for program in "bcd"]
    assert not site.is_done(job)


def test_the_configuration_says_how_many_where_the_request_does_not() -> None:
    site = site_of("abc")
    site.parallel = 2
    job = site.ask(*"abc", min_ready_secs="10")
    assert under_way(site) == ["a", "b"]
    site.pass_time(60)
    assert site.is_done(job)
    site.ask(*"abc", min_ready_secs="10", parallel=1)
    assert under_way(site) == ["a"]


def test_a_bad_section_is_told_and_costs_only_speed() -> None:
    site = site_of("ab")
    site.parallel = BadSetting("parallel", "x", "must be a whole number", "/etc/x [roll]")
    job = site.ask(*"ab", min_ready_secs="10")
    assert under_way(site) == ["a"]
    text = site.facts(job, Warned.kind)["text"]
    assert text == "/etc/x [roll]: parallel=x: must be a whole number: one at a time"


def test_an_update_rolls_as_many_at_once() -> None:
    site = Site(a={"min_ready_secs": "10"}, b={"min_ready_secs": "10"})
    for number, name in enumerate("ab"):
        site.start(name, 1, pid=PIDS + 100 * (number + 1), binds=(f"127.0.0.1:800{number}",))
    site.settle()
    changes = [Change(name, {"environment": NEEDS_ARBITER}, name) for name in "ab"]
    site.supervisord.found = Reread(changes)
    site.ask("all", kind=UPDATE, parallel=2)
    assert under_way(site) == ["a", "b"]


# --- until the first failure ----------------------------------------------------------------------


def test_after_the_first_failure_none_is_begun_and_the_others_are_carried_to_their_end() -> None:
    site = site_of("abcd", workers=2)
    site.programs["b"].boots = lambda age: BOOT if age <= 2 else (Booting, None)
    job = site.ask(*"abcd", parallel=2, min_ready_secs="10")
    assert ends(site, job) == [("b", FAILED), ("c", Skipped.kind), ("d", Skipped.kind)]
    assert under_way(site) == ["a"]
    assert not site.is_done(job)
    site.pass_time(60)
    assert ends(site, job)[-1] == ("a", COMPLETE)
    assert site.is_done(job)
    assert "not rolled, since b failed before it" in site.facts(job, Skipped.kind)["why"]
    assert site.programs["a"].serving == [3, 4]
    assert site.programs["b"].serving == [1, 2]


def test_none_is_begun_while_one_winds_down_after_its_failure() -> None:
    """It has turned, and ends only once its stuck worker is gone; another ends meanwhile."""
    site = site_of("abcd")
    site.programs["a"].boots = lambda age: BOOT if age == 1 else (Booting,)
    site.programs["a"].busy = True
    job = site.ask(*"abcd", parallel=2, min_ready_secs="12", ready_timeout_secs="10")
    site.pass_time(10.5)
    assert ("a", Broken.kind) in site.reports(job)
    assert ends(site, job) == []
    site.pass_time(2)
    assert ends(site, job) == [("b", COMPLETE)]
    assert begun(site, job) == ["a", "b"]
    site.pass_time(30)
    assert ends(site, job)[1:] == [("a", FAILED), ("c", Skipped.kind), ("d", Skipped.kind)]
    assert site.is_done(job)


def test_each_is_aborted_by_its_name() -> None:
    site = site_of("abc")
    job = site.ask(*"abc", parallel=2, min_ready_secs="10")
    site.ask("b", kind=ABORT)
    assert ends(site, job) == [("b", ABORTED), ("c", Skipped.kind)]
    site.pass_time(60)
    assert ends(site, job)[-1] == ("a", COMPLETE)


def test_all_of_a_job_are_paused_and_aborted() -> None:
    site = site_of("abc")
    job = site.ask(*"abc", parallel=2, min_ready_secs="10")
    site.ask("a", "b", kind=PAUSE)
    site.pass_time(100)
    assert ends(site, job) == []
    site.ask(*"abc", kind=ABORT)
    assert ends(site, job) == [("a", ABORTED), ("b", ABORTED), ("c", Skipped.kind)]
    assert site.is_done(job)


# --- a listener that is killed --------------------------------------------------------------------


def test_a_listener_that_is_killed_takes_all_of_them_up_again() -> None:
    site = site_of("abcde")
    job = site.ask(*"abcde", parallel=3, min_ready_secs="10")
    site.restart()
    site.settle()
    assert under_way(site) == ["a", "b", "c"]
    assert len({id(run.job) for run in site.coordinator.active.runs.values()}) == 1
    site.pass_time(100)
    assert begun(site, job) == list("abcde")
    assert ends(site, job) == [(program, COMPLETE) for program in "abcde"]
    assert site.is_done(job)


def test_wherever_a_listener_is_killed_the_job_ends_as_it_would() -> None:

    def rolled(killed_at: int) -> tuple[Site, str]:
        site = site_of("abc")
        site.points, site.killed_at = 0, killed_at
        job = site.ask(*"abc", parallel=2)
        site.pass_time(60)
        return site, job

    whole, _ = rolled(-1)
    assert whole.points > 40
    for at in range(whole.points):
        site, job = rolled(at)
        assert {kind for _, kind in ends(site, job)} == {COMPLETE}, at
        assert {program for program, _ in ends(site, job)} == set("abc"), at
        assert site.is_done(job), at
        assert under_way(site) == [], at
        assert site.least_serving == dict.fromkeys("abc", 1), at


def test_wherever_a_listener_is_killed_none_begins_after_the_first_failure() -> None:
    def rolled(killed_at: int) -> tuple[Site, str]:
        site = site_of("abcd")
        site.programs["b"].boots = lambda age: (Booting, None)
        site.points, site.killed_at = 0, killed_at
        job = site.ask(*"abcd", parallel=2, min_ready_secs="10")
        site.pass_time(100)
        return site, job

    whole, _ = rolled(-1)
    assert whole.points > 20
    for at in range(whole.points):
        site, job = rolled(at)
        reports = site.reports(job)
        failed = reports.index(("b", FAILED))
        assert Began.kind not in [kind for _, kind in reports[failed:]], at
        assert site.is_done(job), at


def test_what_an_earlier_release_saved_of_a_job_is_gone_on_with() -> None:
    """It counted in ``index`` the programs before the only one that it rolled."""
    site = site_of("abc")
    job = site.ask(*"abc", min_ready_secs="10")
    site.pass_time(12)
    assert saved(site, "b")["run"]["job"] == job
    state = saved(site, "")
    for key in ("begun", "running", "parallel"):
        del state[f"job {job}"][key]
    state[f"job {job}"]["index"] = 1
    save(site, state, "")
    site.restart()
    site.pass_time(100)
    assert ends(site, job) == [(program, COMPLETE) for program in "abc"]
    assert site.is_done(job)
