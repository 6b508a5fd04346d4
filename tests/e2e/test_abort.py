"""rollabort ends a rollout in its middle with the count as it was, and the next one completes
it; Ctrl-C only stops watching, and the rollout goes on."""

from __future__ import annotations

import pytest

from tests.harness import MakeSite, Program, Site, wait_until

WORKERS = 4


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    site = make_site(Program(workers=WORKERS))
    site.add_release("v2", boot="gate")
    return site


def test_an_abort_in_the_middle_and_a_rollout_after_it(site: Site) -> None:
    with site.unharmed(replaced=WORKERS) as meanwhile:
        site.deploy("v2")
        roll = site.ctl_start("rollrestart", "web")
        site.open_gate("v2", boots=1)
        roll.wait_says("1/4")
        site.wait_booting("web", 1)
        assert site.ctl("rollabort", "web").status == 0
        wait_until(lambda: site.rollout("web")["why"], 15, "the listener knows of it")
        site.open_gate("v2")
        roll.ends(1, "aborted: 1 of 4 workers replaced", "4 workers (3 outdated, 1 fresh)")
        after = site.wait_ready("web", WORKERS)
        assert len(after.children & meanwhile.before.children) == WORKERS - 1
        site.roll("web")


def test_a_restart_in_the_middle_is_told_as_one(site: Site) -> None:
    site.deploy("v2")
    roll = site.ctl_start("rollrestart", "web")
    site.wait_booting("web", 1)
    restart = site.ctl_start("restart", "web")
    output = roll.ends(1)
    assert "FAILING" not in output
    assert "aborted by a stop of the program" in output
    site.open_gate("v2")
    assert restart.wait().status == 0
    site.wait_ready("web", WORKERS)


def test_an_abort_of_nothing_is_harmless(site: Site) -> None:
    ran = site.ctl("rollabort", "web")
    assert (ran.status, ran.output) == (1, "web: it is not being rolled\n")
    assert site.ctl("rollabort", "nobody").status != 0
    site.open_gate("v2")
    site.deploy("v2")
    with site.unharmed(replaced=WORKERS):
        site.roll("web")


def test_ctrl_c_detaches_and_the_rollout_goes_on(site: Site) -> None:
    site.deploy("v2")
    with site.unharmed(replaced=WORKERS):
        roll = site.ctl_start("rollrestart", "web")
        site.wait_booting("web", 1)
        roll.wait_says("rolling 4 workers")
        roll.interrupt()
        last = roll.ends(130).splitlines()[-1]
        assert "rollstatus --follow web" in last
        assert "rollabort web" in last
        follower = site.ctl_start("rollstatus", "--follow", "web")
        follower.wait_says("rolling 4 workers")
        site.open_gate("v2")
        follower.ends(0, "complete: 4 workers replaced")
