"""rollpause holds a rollout where it is, without losing sight of it; rollresume lets it go on, and
rollabort ends it as it ends any other."""

from __future__ import annotations

import pytest

from tests.harness import Command, Load, MakeSite, Program, Sample, Site, patience, wait_until

WORKERS = 3


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(Program(workers=WORKERS)).deploy("v2", boot="gate")


def test_paused_it_adds_and_retires_none_until_it_is_resumed(site: Site) -> None:
    with site.unharmed(replaced=WORKERS) as meanwhile:
        roll, held = _paused_in_its_middle(site)
        assert len(held.children & meanwhile.before.children) == WORKERS - 1
        _assert_held(site, held, meanwhile.load)
        assert site.ctl("rollresume", "web").status == 0
        roll.ends(0, "resumed by supervisorctl rollresume")
    assert site.boots("web") == 2 * WORKERS


def test_a_paused_rollout_can_be_aborted(site: Site) -> None:
    with site.unharmed(replaced=1):
        roll, _ = _paused_in_its_middle(site)
        assert site.ctl("rollabort", "web").status == 0
        roll.ends(1)
    assert site.rollout("web")["state"] == "aborted"


def test_paused_it_still_gives_up_a_worker_that_is_not_ready_in_time(site: Site) -> None:
    secs = f"{1.5 * patience():.0f}"  # in time to be paused, on a busy machine too
    with site.unharmed(replaced=0):
        roll = site.ctl_start("rollrestart", f"--ready-timeout={secs}", "web")
        site.wait_booting("web", 1)
        assert site.ctl("rollpause", "web").status == 0
        roll.ends(1, "paused by", f"was not ready within {secs} s")


def test_paused_it_stays_so_when_the_listener_is_killed(site: Site) -> None:
    with site.unharmed(replaced=WORKERS) as meanwhile:
        roll, held = _paused_in_its_middle(site)
        site.restart_listener()
        _assert_held(site, held, meanwhile.load)
        assert site.ctl("rollresume", "web").status == 0
        roll.ends()


def test_pausing_an_idle_program_changes_nothing(site: Site) -> None:
    for command in ("rollpause", "rollresume"):
        ran = site.ctl(command, "web")
        assert (ran.status, ran.output) == (1, "web: it is not being rolled\n")
        assert site.ctl(command, "nobody").status != 0
    site.open_gate("v2")
    with site.unharmed(replaced=WORKERS):
        site.roll("web")


def _paused_in_its_middle(site: Site) -> tuple[Command, Sample]:
    """One is replaced, the next fresh one has become ready since the pause: all that is left
    to do is to retire, and to add."""
    roll = site.ctl_start("rollrestart", "web")
    site.open_gate("v2", boots=1)
    roll.wait_says(f"1/{WORKERS}")
    site.wait_booting("web", 1)
    assert site.ctl("rollpause", "web").status == 0
    roll.wait_says("paused by supervisorctl rollpause")
    site.open_gate("v2")
    held = site.wait_ready("web", WORKERS + 1)
    wait_until(lambda: site.rollout("web")["ready"] == WORKERS + 1, 15, "the listener knows")
    return roll, held


def _assert_held(site: Site, held: Sample, load: Load) -> None:
    """It says that it is paused, and does nothing for as long as 50 more requests take."""
    forks, answered = site.boots("web"), len(load.so_far().requests)
    # The listener has had its say in this, so that it is known to be awake.
    assert "it is being rolled already" in site.roll("web", status=1)
    wait_until(lambda: len(load.so_far().requests) > answered + 50, 30, "it serves on")
    assert site.workers("web").children == held.children
    assert site.boots("web") == forks
    assert site.rollout("web")["state"] == "paused"
