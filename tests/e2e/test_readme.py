"""What README shows is what supervisorctl prints, but for pids, times and the traceback."""

from __future__ import annotations

from dataclasses import replace

from tests.doc_blocks import masked, shown
from tests.harness import MakeSite, Program

PROGRAM = Program("myapp", workers=3, roll={"health": "/_status"})


def test_readme_shows_what_is_printed(make_site: MakeSite) -> None:
    good, failed, changed = shown()
    site = make_site(PROGRAM)
    ran = site.ctl("rollrestart", "myapp")
    assert (ran.status, masked(ran.output)) == (0, good)

    site.add_release("v2", boot="raise")
    site.deploy("v2")
    ran = site.ctl("rollrestart", "myapp")
    printed = masked(ran.output)
    assert (ran.status, printed[0], printed[-2:]) == (1, failed[0], failed[-2:])
    assert [line.partition("boot: ")[0] for line in (printed[1], failed[1])] == [
        "myapp: FAILING: worker N failed to "
    ] * 2

    site.deploy("v1")
    site.write(replace(PROGRAM, environment={"DEBUG": "1"}))
    ran = site.ctl("rollrestart", "myapp")
    assert (ran.status, masked(ran.output)) == (0, changed)
