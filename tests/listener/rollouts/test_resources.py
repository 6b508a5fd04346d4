"""Is there room for a surge: by default as large as fits, beside what others will still take."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_roll.listener.edges.process_limits import Left
from supervisor_roll.rollout.reports import Began, Note, Plan, Refused
from supervisor_roll.rollout.words import COMPLETE, FAILED
from supervisor_roll.wire.mailbox import ABORT, DRY_RUN
from supervisor_roll.wire.messages import Booting, Ready
from supervisor_roll.wire.program import Program
from tests.fakes.site import BOOT, Site, site_with


def short_of_memory(room: int, **programs: int) -> Site:
    """Workers of 100 bytes each, and room for so many bytes more."""
    site = site_with(**programs)
    site.table.worker_bytes, site.table.total_bytes = 100, room + 100 * sum(programs.values())
    return site


def begun(site: Site, job: str) -> Any:
    return site.facts(job, Began.kind)["max_surge"]


def notes(site: Site, job: str) -> list[str]:
    return [one.facts["text"] for one in site.found(job)[0] if one.kind == Note.kind]


@pytest.mark.parametrize(("room", "surge"), [(1000, 4), (400, 4), (399, 3), (100, 1)])
def test_the_default_is_as_much_of_a_quarter_as_there_is_room_for(room: int, surge: int) -> None:
    site = short_of_memory(room, myapp=16)
    job = site.ask("myapp", strategy="workers")
    assert begun(site, job) == surge
    assert site.most_staying["myapp"] == 16 + surge
    assert site.least_serving["myapp"] == 16
    told = notes(site, job)
    assert len(told) == (surge < 4)
    if told:
        assert told[0].startswith(
            f"{surge} at once, and not 4 (max_surge=25%): it does not fit into memory: 4 more "
            "workers of about "
        )


def test_what_an_operator_asks_for_is_refused_where_it_does_not_fit() -> None:
    site = short_of_memory(399, myapp=16)
    job = site.ask("myapp", max_surge="4")
    assert site.reports(job) == [("myapp", Refused.kind)]
    site.table.total_bytes = 1699
    job = site.ask("myapp")
    assert "1 more worker of about" in site.facts(job, Refused.kind)["why"]


def test_processes_are_counted_alike() -> None:
    site = site_with(myapp=16)
    site.table.left = Left(5, "cgroup /web")  # of two threads each
    assert begun(site, site.ask("myapp")) == 2


def test_a_dry_run_tells_what_the_rollout_would_do() -> None:
    site = short_of_memory(250, myapp=16)
    job = site.ask("myapp", kind=DRY_RUN, preflight="false")
    plan = site.facts(job, Plan.kind)
    assert (plan["max_surge"], plan["memory"]["fits"]) == (2, True)
    assert len(notes(site, job)) == 1


# --- beside others --------------------------------------------------------------------------------


def beside_one_that_boots(room: int) -> Site:
    """Of four more workers that "one" may have at once, one has come, and boots."""
    site = short_of_memory(room, one=16, two=16)
    site.programs["one"].boots = lambda age: (Booting,)
    site.ask("one", max_surge="4", ready_timeout_secs="600")
    return site


@pytest.mark.parametrize(("room", "surge"), [(800, 4), (799, 3), (500, 1)])
def test_what_others_are_still_going_to_take_is_taken(room: int, surge: int) -> None:
    site = beside_one_that_boots(room)
    assert begun(site, site.ask("two")) == surge
    assert site.least_serving == {"one": 16, "two": 16}


@pytest.mark.parametrize(("room", "values"), [(499, {}), (799, {"max_surge": "4"})])
def test_one_that_has_room_only_without_the_others_waits_for_these(
    room: int, values: dict[str, str]
) -> None:
    site = beside_one_that_boots(room)
    job = site.ask("two", **values)
    site.pass_time(500)
    assert [kind for _, kind in site.reports(job)] == [Note.kind]
    assert notes(site, job)[0].startswith(
        "waiting for the end of what one takes: beside that, it does not"
    )
    site.ask("one", kind=ABORT)
    site.pass_time(1)
    assert site.reports(job)[-1] == ("two", COMPLETE)


def test_while_one_waits_for_room_the_messages_of_others_cost_no_measuring() -> None:
    site = beside_one_that_boots(499)
    site.ask("two")
    before = site.table.looks_for_room
    for _ in range(20):
        site.programs["one"].say(next(iter(site.programs["one"].workers)), Ready)
        site.settle()
    assert site.table.looks_for_room == before
    site.pass_time(10)
    assert 9 <= site.table.looks_for_room - before <= 11


def test_programs_that_have_no_room_at_once_are_rolled_one_after_the_other() -> None:
    site = short_of_memory(100, a=2, b=2, c=2)
    job = site.ask(*"abc", parallel=3, min_ready_secs="5")
    most = 0
    while not site.is_done(job):
        rolling = [one for one in site.coordinator.active.runs.values() if one.rolling]
        most = max(most, len(rolling))
        site.pass_time(1)
    assert most == 1
    ended = [program for program, kind in site.reports(job) if kind == COMPLETE]
    assert sorted(ended) == ["a", "b", "c"]


@pytest.mark.parametrize("canary", ["", "1"])
def test_a_rollback_has_no_more_at_once_than_there_was_room_for(canary: str) -> None:
    site = Site(myapp={"on_failure": "true", "canary": canary})
    program = site.start("myapp", 16)
    site.settle()
    site.table.worker_bytes, site.table.total_bytes = 100, 1800
    site.supervisord.spawns = Program("gunicorn", ["gunicorn"], "/", {}, 0)
    program.boots = lambda age: (Booting, None) if age == 20 else BOOT
    job = site.ask("myapp")
    site.pass_time(30)
    assert site.facts(job, FAILED)["rolled_back"]
    assert site.most_staying["myapp"] == 18
    assert len(program.serving) == 16


# --- cores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cpu_secs", "at_once"), [(0.8, 2), (0.7, 4)])
def test_no_more_boot_at_once_than_there_are_cores_where_the_first_has_computed(
    cpu_secs: float, at_once: int
) -> None:
    """For more than half of the 1.5 s that each boot takes."""
    site = site_with(myapp=16)
    site.table.computed_secs, site.table.number_of_cores = cpu_secs, 2
    program = site.programs["myapp"]
    program.boots = lambda age: BOOT if age == 17 else (Booting,)
    site.ask("myapp", ready_timeout_secs="600")
    booting = [one for one in program.workers.values() if not one.ready]
    assert len(booting) == at_once
