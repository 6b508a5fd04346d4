"""The processes that a name means are rolled one after the other, and none after one that
failed."""

from __future__ import annotations

from tests.harness import MakeSite, Program

FIRST, SECOND = "web:web_00", "web:web_01"


def test_a_group_is_rolled_one_process_after_the_other(make_site: MakeSite) -> None:
    site = make_site(Program(numprocs=2)).deploy("v2", boot="gate")
    before = {name: site.workers(name) for name in (FIRST, SECOND)}
    roll = site.ctl_start("rollrestart", "web:*")
    site.wait_booting(FIRST, 1)
    assert site.workers(SECOND).children == before[SECOND].children
    site.open_gate("v2")
    output = roll.ends()
    assert output.index(f"{FIRST}: complete") < output.index(f"{SECOND}: rolling")
    assert "2 programs: 2 complete" in output
    for name, old in before.items():
        assert not site.wait_ready(name, 2).children & old.children


def test_all_is_everything_that_can_be_rolled(make_site: MakeSite) -> None:
    site = make_site(Program("api"), Program("web", numprocs=2), start=False)
    site.write_conf("cat", "[program:cat]\ncommand=cat\nstartsecs=0\n")
    site.write_conf(
        "tail",
        "[program:tail]\ncommand=tail -F /nowhere/gunicorn.log\nstartsecs=0\n"
        "[program:tails]\ncommand=sh -c 'tail -F /nowhere/gunicorn.log; true'\nstartsecs=0\n"
        "stopasgroup=true\n",
    )
    site.start()
    cat = site.pid("cat")
    before = {name: site.workers(name) for name in ("api", FIRST, SECOND)}
    site.deploy("v2")
    output = site.roll("all")
    for name in ("cat", "tail", "tails"):
        assert f"{name}: skipped: it is no Gunicorn program" in output
    assert "6 programs: 3 complete, 3 skipped" in output
    for name, old in before.items():
        assert not site.wait_ready(name, 2).children & old.children
    assert site.pid("cat") == cat


def test_none_is_rolled_after_one_that_failed(make_site: MakeSite) -> None:
    site = make_site(Program(numprocs=2))
    before = {name: site.workers(name) for name in (FIRST, SECOND)}
    site.deploy("bad", boot="raise", boot_secs=0.3)
    output = site.roll("web:*", status=1)
    assert f"{SECOND}: skipped: not rolled, since {FIRST} failed before it" in output
    assert "2 programs: 1 failed, 1 skipped" in output
    for name, old in before.items():
        assert site.wait_ready(name, 2).children == old.children
    assert site.boots("web_01") == 2
