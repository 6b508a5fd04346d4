"""rollrestart --dry-run says what a rollout would do, cost, and come to, and touches no worker."""

from __future__ import annotations

import pytest

from tests.harness import MakeSite, Program, Site

WORKERS = 2


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(Program(workers=WORKERS, boot_secs=0.3))


def test_of_a_good_release(site: Site) -> None:
    site.deploy("v2")
    output = _dry(site)
    assert "not measured" not in output
    # It was no more than a plan: what is planned can be done, and is the first rollout.
    assert site.rollout("web") == {}
    with site.unharmed(replaced=WORKERS):
        site.roll("web")


def test_of_a_broken_release(site: Site) -> None:
    site.deploy("bad", boot="raise")
    output = _dry(site, status=1)
    assert "ImportError: release bad lacks a module" in output
    assert "in _boot" in output


def test_of_one_in_place_with_a_health_check(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS, boot_secs=0.3, roll={"health": "/_status"}))
    output = _dry(site, "--max-surge=0", "--max-unavailable=1")
    assert "never fewer than 1 ready, never more than 2 running" in output
    assert "each new worker must answer /_status before it takes a request" in output


def test_without_a_preflight_nothing_of_the_program_is_run(make_site: MakeSite) -> None:
    conf = "open(__file__ + '.ran', 'a').write('x')"
    site = make_site(Program("web", conf=conf), Program("api", roll={"strategy": "arbiter"}))
    ran = site.folder / "web.conf.py.ran"
    before = ran.read_text()
    assert "2 programs: 2 can be rolled" in site.roll("api", "--dry-run", "--no-preflight", "web")
    assert ran.read_text() == before


def test_during_a_rollout_is_refused_and_disturbs_nothing(site: Site) -> None:
    site.deploy("v2", boot="gate")
    with site.unharmed(replaced=WORKERS):
        roll = site.ctl_start("rollrestart", "web")
        site.wait_booting("web", 1)
        assert "it is being rolled already" in site.roll("web", "--dry-run", status=1)
        site.open_gate("v2")
        roll.ends()


def _dry(site: Site, *options: str, status: int = 0) -> str:
    """Make a dry run; all the while and afterwards the workers are those that were there."""
    forks = site.boots("web")
    with site.untouched():
        output = site.roll("web", "--dry-run", *options, status=status)
    assert site.boots("web") == forks
    return output
