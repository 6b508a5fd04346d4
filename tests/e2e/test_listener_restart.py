"""A listener that is killed in the middle of a rollout loses nothing: the next one carries it on,
and whoever waits for its end still sees it."""

from __future__ import annotations

import pytest

from tests.harness import MakeSite, Program, Site

WORKERS = 4


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(Program(workers=WORKERS)).deploy("v2", boot="gate")


@pytest.mark.parametrize("replaced", [0, 1])
@pytest.mark.parametrize("away", ["while it boots", "when it is ready"])
def test_killed_while_a_surge_worker_boots(site: Site, replaced: int, away: str) -> None:
    with site.unharmed(replaced=WORKERS):
        roll = site.ctl_start("rollrestart", "web")
        if replaced:
            site.open_gate("v2", boots=replaced)
            roll.wait_says(f"{replaced}/{WORKERS}")
        (booting,) = site.wait_booting("web", 1).booting
        if away == "while it boots":
            site.restart_listener()
            assert booting in site.workers("web").booting
        else:
            site.kill_listener()
        site.open_gate("v2")
        roll.ends(0, f"complete: {WORKERS} workers replaced")
    assert site.boots("web") == 2 * WORKERS


def test_killed_again_and_again(site: Site) -> None:
    with site.unharmed(replaced=WORKERS):
        roll = site.ctl_start("rollrestart", "web")
        for done in range(1, WORKERS):
            site.open_gate("v2", boots=1)
            roll.wait_says(f"{done}/{WORKERS}")
            site.restart_listener()
        site.open_gate("v2")
        roll.ends()


def test_stopped_and_started_while_nothing_rolls(site: Site) -> None:
    site.open_gate("v2")
    listener = site.listener_pid
    assert site.ctl("stop", "roll").status == 0
    with site.untouched():
        ran = site.ctl("rollrestart", "web")
    assert ran.status != 0
    assert "supervisorctl start roll" in ran.output
    assert site.ctl("start", "roll").status == 0
    site.wait_listener(other_than=listener)
    with site.unharmed(replaced=WORKERS):
        site.roll("web")
