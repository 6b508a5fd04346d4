"""A program is rolled by one at a time, and who comes second is told by whom and since when;
different programs are rolled at the same time."""

from __future__ import annotations

import re

from tests.harness import MakeSite, Program


def test_the_second_rollout_of_a_program_is_refused(make_site: MakeSite) -> None:
    site = make_site(Program()).deploy("v2", boot="gate")
    with site.unharmed(replaced=2):
        first = site.ctl_start("rollrestart", "web")
        held = site.wait_booting("web", 1)
        output = site.roll("web", status=1)
        by = rf"for \d+ s, by supervisorctl rollrestart \(.*pid {first.pid}\)"
        assert re.search(by, output), output
        assert site.workers("web").children == held.children
        site.open_gate("v2")
        first.ends()
    assert site.boots("web") == 4


def test_two_programs_are_rolled_at_once(make_site: MakeSite) -> None:
    site = make_site(Program("web"), Program("api")).deploy("v2", boot="gate")
    before = {name: site.workers(name) for name in ("web", "api")}
    rolls = {name: site.ctl_start("rollrestart", name) for name in before}
    for name in rolls:
        site.wait_booting(name, 1)
    site.open_gate("v2")
    for name, roll in rolls.items():
        roll.ends()
        assert not site.wait_ready(name, 2).children & before[name].children
