"""rollabort ends a rollout in its middle with the count as it was, and the next one completes
it; Ctrl-C only stops watching, and the rollout goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import Program, Site, unharmed, wait_until

WORKERS = 4


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    site = make_site(Program(workers=WORKERS))
    site.add_release("v2", boot="gate")
    return site


def test_an_abort_in_the_middle_and_a_rollout_after_it(site: Site) -> None:
    with unharmed(site, replaced=WORKERS) as meanwhile:
        site.deploy("v2")
        roll = site.ctl_start("rollrestart", "web")
        site.open_gate("v2", boots=1)
        roll.wait_says("1/4")
        site.wait_booting("web", 1)
        abort = site.ctl("rollabort", "web")
        assert abort.status == 0, abort.output
        assert "web: aborting" in abort.output
        wait_until(lambda: site.rollout("web")["why"], 15, "the listener knows of it")
        site.open_gate("v2")
        ran = roll.wait()
        assert ran.status == 1, ran.output
        assert "aborted: 1 of 4 workers replaced" in ran.output
        assert "still serving: 4 workers (3 outdated, 1 fresh)" in ran.output
        after = site.wait_ready("web", WORKERS)
        assert len(after.children & meanwhile.before.children) == WORKERS - 1
        again = site.ctl("rollrestart", "web")
        assert again.status == 0, again.output


def test_a_restart_in_the_middle_is_told_as_one(site: Site) -> None:
    site.deploy("v2")
    roll = site.ctl_start("rollrestart", "web")
    site.wait_booting("web", 1)
    restart = site.ctl_start("restart", "web")
    ran = roll.wait()  # its fresh worker still boots, so that it cannot be complete
    assert ran.status == 1, ran.output
    assert "FAILING" not in ran.output
    assert "aborted by a stop of the program" in ran.output
    site.open_gate("v2")
    assert restart.wait().status == 0
    site.wait_ready("web", WORKERS)


def test_an_abort_of_nothing_is_harmless(site: Site) -> None:
    before = site.workers("web")
    ran = site.ctl("rollabort", "web")
    assert (ran.status, ran.output) == (1, "web: it is not being rolled\n")
    assert site.ctl("rollabort", "nobody").status != 0
    site.open_gate("v2")
    site.deploy("v2")
    assert site.ctl("rollrestart", "web").status == 0
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_ctrl_c_detaches_and_the_rollout_goes_on(site: Site) -> None:
    before = site.workers("web")
    site.deploy("v2")
    roll = site.ctl_start("rollrestart", "web")
    site.wait_booting("web", 1)
    roll.wait_says("rolling 4 workers")
    roll.interrupt()
    ran = roll.wait()
    assert ran.status == 130, ran.output
    assert "rollstatus --follow web" in ran.output.splitlines()[-1]
    assert "rollabort web" in ran.output.splitlines()[-1]
    follower = site.ctl_start("rollstatus", "--follow", "web")
    follower.wait_says("rolling 4 workers")
    site.open_gate("v2")
    ran = follower.wait()
    assert ran.status == 0, ran.output
    assert "complete: 4 workers replaced" in ran.output
    assert not site.wait_ready("web", WORKERS).children & before.children
