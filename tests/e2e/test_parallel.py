"""Several programs of one command at once, and none that is begun after a failure."""

from __future__ import annotations

from tests.harness import MakeSite, Program, Site

NAMES = ("one", "two", "three", "four")


def site_of(make_site: MakeSite, **roll: str) -> Site:
    site = make_site(*(Program(name, workers=1, roll=roll) for name in NAMES))
    site.deploy("v2", boot="gate")
    return site


def test_so_many_are_rolled_at_once_also_by_a_listener_that_was_killed(make_site: MakeSite) -> None:
    site = site_of(make_site)
    before = {name: site.workers(name).children for name in NAMES}
    roll = site.ctl_start("rollrestart", "--parallel", "2", *NAMES)
    site.wait_booting("one", 1)
    site.wait_booting("two", 1)
    site.wait_listener(other_than=site.kill_listener())
    assert site.workers("three").children == before["three"]
    site.open_gate("v2")
    output = roll.ends()
    assert output.splitlines()[-1] == "4 programs: 4 complete"
    began = [line.partition(":")[0] for line in output.splitlines() if ": rolling 1 worker" in line]
    assert began == list(NAMES)
    for name in NAMES:
        assert not site.wait_ready(name, 1).children & before[name]


def test_after_the_first_failure_none_is_begun(make_site: MakeSite) -> None:
    site = site_of(make_site, ready_timeout_secs="3")
    before = {name: site.workers(name).children for name in NAMES}
    output = site.ctl_start("rollrestart", "--parallel", "2", *NAMES).ends(1)
    last = output.splitlines()[-1]
    assert last == "4 programs: 2 failed (one, two), 2 skipped"
    assert {name: site.workers(name).children for name in NAMES} == before
