"""A listener that is killed in the middle of a rollout loses nothing: the next one carries it on,
and whoever waits for its end still sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.harness import Program, Site

WORKERS = 4


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    site = make_site(Program(workers=WORKERS))
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    return site


@pytest.mark.parametrize("replaced", [0, 1])
@pytest.mark.parametrize("away", ["while it boots", "when it is ready"])
def test_killed_while_a_surge_worker_boots(site: Site, replaced: int, away: str) -> None:
    arbiter, before = site.pid("web"), site.workers("web")
    with site.load("web") as load, site.observe("web") as seen:
        roll = site.ctl_start("rollrestart", "web")
        if replaced:
            site.open_gate("v2", boots=replaced)
            roll.wait_says(f"{replaced}/{WORKERS}")
        (booting,) = site.wait_booting("web", 1).booting
        listener = site.listener_pid
        os.kill(listener, signal.SIGKILL)
        if away == "while it boots":
            site.wait_listener(other_than=listener)
            assert booting in site.workers("web").booting
        site.open_gate("v2")
        ran = roll.wait()
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert f"complete: {WORKERS} workers replaced" in ran.output
    assert not summary.failed, summary
    assert seen.min_ready == WORKERS
    assert site.boots("web") == 2 * WORKERS
    assert not site.wait_ready("web", WORKERS).children & before.children
    assert site.pid("web") == arbiter


def test_killed_again_and_again(site: Site) -> None:
    before = site.workers("web")
    with site.load("web") as load, site.observe("web") as seen:
        roll = site.ctl_start("rollrestart", "web")
        for done in range(1, WORKERS):
            site.open_gate("v2", boots=1)
            roll.wait_says(f"{done}/{WORKERS}")
            listener = site.listener_pid
            os.kill(listener, signal.SIGKILL)
            site.wait_listener(other_than=listener)
        site.open_gate("v2")
        ran = roll.wait()
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert not summary.failed, summary
    assert seen.min_ready == WORKERS
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_stopped_and_started_while_nothing_rolls(site: Site) -> None:
    before, arbiter = site.workers("web"), site.pid("web")
    site.open_gate("v2")
    listener = site.listener_pid
    assert site.ctl("stop", "roll").status == 0
    ran = site.ctl("rollrestart", "web")
    assert ran.status != 0
    assert "supervisorctl start roll" in ran.output
    assert site.workers("web").children == before.children
    assert site.ctl("start", "roll").status == 0
    site.wait_listener(other_than=listener)
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 0, ran.output
    assert not site.wait_ready("web", WORKERS).children & before.children
    assert site.pid("web") == arbiter
