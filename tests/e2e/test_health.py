"""A release whose health check fails is never served to anybody by a rollout; but no failing
check keeps a program from starting, or a crashed worker from being replaced."""

from __future__ import annotations

import os
import signal

import pytest

from tests.harness import MakeSite, Program, Site, patience, steady, wait_until

WORKERS = 2


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(
        Program(
            workers=WORKERS,
            boot_secs=0.3,
            # In time to be checked on a busy machine, too.
            roll={"health": "/_status", "ready_timeout_secs": f"{patience():.1f}"},
        )
    )


def test_a_sick_release_fails_the_rollout_and_answers_nobody(site: Site) -> None:
    site.deploy("sick", status=503)
    with site.unharmed(replaced=0) as (load, _, _):
        output = site.roll("web", status=1)
    assert "503" in output
    assert load.so_far().answered.keys() == {"v1"}


def test_a_check_that_becomes_good_in_time_lets_the_rollout_go_on(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS, roll={"health": "/_status"})).deploy("v2", status=503)
    with site.unharmed(replaced=WORKERS) as (load, _, _):
        roll = site.ctl_start("rollrestart", "web")
        wait_until(
            lambda: site.log("web").count("release v2 answers its health check with 503") > 1,
            30,
            "the check has failed more than once",
        )
        assert load.answered_by("v2") == 0
        site.set_health("v2", 200)
        assert roll.ends().count("health 200 OK") == WORKERS


def test_in_place_too_a_sick_release_answers_nobody(site: Site) -> None:
    site.deploy("sick", status=503)
    in_place = ("--max-surge=0", "--max-unavailable=1")
    with steady(load := site.load("web"), after=0), site.observe("web") as seen:
        site.roll("web", *in_place, status=1)
    assert not load.so_far().failed, load.so_far()
    assert load.so_far().answered.keys() == {"v1"}
    assert seen.min_ready >= WORKERS - 1


def test_a_sick_release_starts_all_the_same(site: Site) -> None:
    site.deploy("sick", status=503)
    assert site.ctl("restart", "web").status == 0
    site.wait_ready("web", WORKERS)
    with site.unharmed(replaced=0) as (load, _, _):
        wait_until(lambda: load.answered_by("sick") > 10, 15, "it serves")


def test_a_crashed_worker_is_replaced_by_a_sick_one(site: Site) -> None:
    before = site.workers("web")
    crashed, survivor = sorted(before.children)
    site.deploy("sick", status=503)
    os.kill(crashed, signal.SIGKILL)
    wait_until(lambda: crashed not in site.workers("web").children, 15, "it is gone")
    after = site.wait_ready("web", WORKERS)
    assert survivor in after.children
    with site.unharmed(replaced=0) as (load, _, _):
        wait_until(lambda: load.answered_by("sick") and load.answered_by("v1"), 30, "both serve")
