"""rollrestart --dry-run says what a rollout would do, cost, and come to, and touches no worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import Program, Ran, Site

WORKERS = 2


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(Program(workers=WORKERS, boot_secs=0.3))


def test_of_a_good_release(site: Site) -> None:
    site.add_release("v2")
    site.deploy("v2")
    ran = _untouched(site)
    assert ran.status == 0, ran.output
    for said in (
        "web: would replace 2 workers, 1 at a time: the new one starts and must be ready before",
        "serving    never fewer than 2 ready, never more than 3 running",
        "health     no check is configured",
        "duration   about ",
        "memory     ",
        "preflight  the application loads (",
        "its command was run once for the preflight; to do it, run rollrestart without --dry-run",
    ):
        assert said in ran.output, ran.output
    assert "not measured" not in ran.output
    # It was no more than a plan: what is planned can be done, and is the first rollout.
    assert "web: never rolled" in site.ctl("rollstatus", "web").output
    before = site.workers("web")
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 0, ran.output
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_of_a_broken_release(site: Site) -> None:
    site.add_release("bad", boot="raise")
    site.deploy("bad")
    ran = _untouched(site)
    assert ran.status == 1, ran.output
    for said in (
        "would replace 2 workers",
        "memory     ",
        "THE APPLICATION DOES NOT LOAD: ImportError: release bad lacks a module",
        "in _boot",
        "preflight; as it is, the rollout would fail with its first worker",
    ):
        assert said in ran.output, ran.output


def test_of_one_in_place_with_a_health_check(make_site: Callable[..., Site]) -> None:
    site = make_site(Program(workers=WORKERS, boot_secs=0.3, roll={"health": "/_status"}))
    ran = _untouched(site, "--max-surge=0", "--max-unavailable=1")
    assert ran.status == 0, ran.output
    assert "1 at a time, in place: an old one stops before the new one starts" in ran.output
    assert "never fewer than 1 ready, never more than 2 running" in ran.output
    assert "each new worker must answer /_status before it takes a request" in ran.output


def test_without_a_preflight_nothing_of_the_program_is_run(make_site: Callable[..., Site]) -> None:
    conf = "open(__file__ + '.ran', 'a').write('x')"
    site = make_site(Program("web", conf=conf), Program("api", roll={"strategy": "arbiter"}))
    ran = site.folder / "web.conf.py.ran"
    before = ran.read_text()
    told = site.ctl("rollrestart", "--dry-run", "--no-preflight", "web", "api")
    assert told.status == 0, told.output
    assert "nothing was touched or run" in told.output
    assert "2 programs: 2 can be rolled" in told.output
    assert ran.read_text() == before


def test_during_a_rollout_is_refused_and_disturbs_nothing(site: Site) -> None:
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    before = site.workers("web")
    roll = site.ctl_start("rollrestart", "web")
    site.wait_booting("web", 1)
    ran = site.ctl("rollrestart", "--dry-run", "web")
    assert ran.status == 1, ran.output
    assert "it is being rolled already" in ran.output
    site.open_gate("v2")
    ran = roll.wait()
    assert ran.status == 0, ran.output
    assert not site.wait_ready("web", WORKERS).children & before.children


def _untouched(site: Site, *options: str) -> Ran:
    """Make a dry run; all the while and afterwards the workers are those that were there."""
    before, arbiter, forks = site.workers("web"), site.pid("web"), site.boots("web")
    with site.load("web") as load, site.observe("web") as seen:
        ran = site.ctl("rollrestart", "--dry-run", *options, "web")
        summary = load.stop()
    assert {sample.ready for sample in seen.samples} == {before.ready}
    assert {sample.children for sample in seen.samples} == {before.children}
    assert not summary.failed, summary
    assert site.boots("web") == forks
    assert site.pid("web") == arbiter
    return ran
