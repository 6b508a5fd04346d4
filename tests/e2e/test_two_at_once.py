"""A program is rolled by one at a time, and who comes second is told by whom and since when;
different programs are rolled at the same time."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.harness import Program, Site


def test_the_second_rollout_of_a_program_is_refused(make_site: Callable[..., Site]) -> None:
    site = make_site(Program())
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    first = site.ctl_start("rollrestart", "web")
    held = site.wait_booting("web", 1)
    second = site.ctl("rollrestart", "web")
    assert second.status == 1
    assert "refused" in second.output
    assert re.search(
        rf"for \d+ s, by supervisorctl rollrestart \(.*pid {first.pid}\)", second.output
    ), second.output
    assert site.workers("web").children == held.children
    site.open_gate("v2")
    ran = first.wait()
    assert ran.status == 0, ran.output
    assert site.boots("web") == 4


def test_two_programs_are_rolled_at_once(make_site: Callable[..., Site]) -> None:
    site = make_site(Program("web"), Program("api"))
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    before = {name: site.workers(name) for name in ("web", "api")}
    rolls = {name: site.ctl_start("rollrestart", name) for name in before}
    for name in rolls:
        site.wait_booting(name, 1)
    site.open_gate("v2")
    for name, roll in rolls.items():
        ran = roll.wait()
        assert ran.status == 0, ran.output
        assert not site.wait_ready(name, 2).children & before[name].children
