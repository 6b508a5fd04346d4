"""A release whose health check fails is never served to anybody by a rollout; but no failing
check keeps a program from starting, or a crashed worker from being replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.harness import Program, Site, patience, unharmed, wait_until

WORKERS = 2


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(
        Program(
            workers=WORKERS,
            boot_secs=0.3,
            # In time to be checked on a busy machine, too.
            roll={"health": "/_status", "ready_timeout_secs": f"{1.5 * patience():.1f}"},
        )
    )


def test_a_sick_release_fails_the_rollout_and_answers_nobody(site: Site) -> None:
    site.add_release("sick", status=503)
    site.deploy("sick")
    with unharmed(site, replaced=0) as meanwhile:
        ran = site.ctl("rollrestart", "web")
        wait_until(lambda: meanwhile.load.sent > 50, 15, "requests go on")
    assert ran.status == 1, ran.output
    assert "FAILING" in ran.output
    assert "503" in ran.output
    assert "still serving: 2 workers (2 outdated, 0 fresh)" in ran.output
    assert meanwhile.load.so_far().answered.keys() == {"v1"}


def test_a_check_that_becomes_good_in_time_lets_the_rollout_go_on(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(Program(workers=WORKERS, roll={"health": "/_status"}))
    site.add_release("v2", status=503)
    site.deploy("v2")
    with site.load("web") as load:
        roll = site.ctl_start("rollrestart", "web")
        wait_until(
            lambda: site.log("web").count("release v2 answers its health check with 503") > 1,
            30,
            "the check has failed more than once",
        )
        assert load.answered_by("v2") == 0
        site.set_health("v2", 200)
        ran = roll.wait()
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert ran.output.count("health 200 OK") == WORKERS
    assert not summary.failed, summary


def test_in_place_too_a_sick_release_answers_nobody(site: Site) -> None:
    site.add_release("sick", status=503)
    site.deploy("sick")
    with site.load("web") as load, site.observe("web") as seen:
        ran = site.ctl("rollrestart", "--max-surge=0", "--max-unavailable=1", "web")
        summary = load.stop()
    assert ran.status == 1, ran.output
    assert "FAILING" in ran.output
    assert not summary.failed, summary
    assert summary.answered.keys() == {"v1"}
    assert seen.min_ready >= WORKERS - 1


def test_a_sick_release_starts_all_the_same(site: Site) -> None:
    site.add_release("sick", status=503)
    site.deploy("sick")
    assert site.ctl("restart", "web").status == 0
    site.wait_ready("web", WORKERS)
    with site.load("web") as load:
        wait_until(lambda: load.answered_by("sick") > 10, 15, "it serves")
        summary = load.stop()
    assert not summary.failed, summary


def test_a_crashed_worker_is_replaced_by_a_sick_one(site: Site) -> None:
    before = site.workers("web")
    crashed, survivor = sorted(before.children)
    site.add_release("sick", status=503)
    site.deploy("sick")
    os.kill(crashed, signal.SIGKILL)
    wait_until(lambda: crashed not in site.workers("web").children, 15, "it is gone")
    after = site.wait_ready("web", WORKERS)
    assert survivor in after.children
    with site.load("web") as load:
        wait_until(lambda: load.answered_by("sick") and load.answered_by("v1"), 30, "both serve")
        summary = load.stop()
    assert not summary.failed, summary
