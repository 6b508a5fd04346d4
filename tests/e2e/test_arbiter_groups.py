"""Of several processes exactly those get another arbiter that have changed, one after the other."""

from __future__ import annotations

from dataclasses import replace

from tests.harness import Load, MakeSite, Program, Site, steady
from tests.harness.processes import environment

UNCHANGED = [[], [], []]
CHANGED = {"COLOUR": "green"}
FIRST, SECOND = "web:web_00", "web:web_01"


def test_of_a_group_only_the_program_that_has_changed_gets_another_arbiter(
    make_site: MakeSite,
) -> None:
    api, web = Program("api", boot_secs=0.2), Program("web", boot_secs=0.2)
    site = make_site(api, web, start=False)
    site.write_conf("group", "[group:shop]\nprograms=api,web\n")
    site.start_supervisord()
    site.wait_listener()
    site.start_programs()
    for name in ("shop:api", "shop:web"):
        site.wait_ready(name, 2)
        site.wait_state(name, "RUNNING")
    old = {name: site.pid(name) for name in ("shop:api", "shop:web")}
    before = site.workers("shop:api")
    site.write(replace(web, environment=CHANGED))
    assert site.reread() == [[], ["shop"], []]
    loads = [Load(str(site.folder / "run" / f"{name}.sock"), rate=30) for name in ("api", "web")]
    with steady(*loads):
        output = site.roll("shop:web")
    assert "shop:web: replacing the arbiter and its 2 workers" in output
    assert not any(load.so_far().failed for load in loads)
    assert site.pid("shop:api") == old["shop:api"]
    assert site.workers("shop:api").children == before.children
    assert site.pid("shop:web") != old["shop:web"]
    _in_force(site, "shop:web")
    assert site.reread() == UNCHANGED
    assert sorted(site.names("shop")) == ["api", "web"]
    # Both are rolled by one command, and each as it needs: the other's code only.
    site.wait_state("shop:web", "RUNNING")
    site.write(replace(web, environment={"COLOUR": "blue"}))
    output = site.roll("shop:*")
    assert "shop:api: rolling 2 workers" in output
    assert "shop:web: replacing the arbiter and its 2 workers" in output
    assert site.pid("shop:api") == old["shop:api"]
    assert site.reread() == UNCHANGED


def test_the_processes_of_a_program_get_theirs_one_after_the_other(make_site: MakeSite) -> None:
    program = Program("web", numprocs=2)
    site = make_site(program)
    old = {name: site.pid(name) for name in (FIRST, SECOND)}
    before = site.workers(SECOND)
    site.deploy("v2", boot="gate")
    site.write(replace(program, environment=CHANGED))
    loads = [site.load(name, rate=30) for name in (FIRST, SECOND)]
    with steady(*loads):
        roll = site.ctl_start("rollrestart", "web:*")
        roll.wait_says(f"{FIRST}: successor ")
        assert site.pid(f"{FIRST}.successor")
        assert site.workers(SECOND).children == before.children
        assert set(site.names("web")) == {"web_00", "web_00.successor", "web_01"}
        site.open_gate("v2")
        output = roll.ends()
    assert output.index(f"{FIRST}: complete") < output.index(f"{SECOND}: successor ")
    assert "2 programs: 2 complete" in output
    assert not any(load.so_far().failed for load in loads)
    for name in (FIRST, SECOND):
        assert site.pid(name) != old[name]
        _in_force(site, name)
    assert set(site.names("web")) == {"web_00", "web_01"}
    assert site.reread() == UNCHANGED


def test_none_is_touched_after_one_that_failed(make_site: MakeSite) -> None:
    program = Program("web", numprocs=2)
    site = make_site(program)
    old = {name: site.pid(name) for name in (FIRST, SECOND)}
    site.write(replace(program, section={"directory": "/nonexistent"}))
    output = site.roll("web:*", status=1)
    assert "couldn't chdir to /nonexistent" in output
    assert f"{SECOND}: skipped: not rolled, since {FIRST} failed before it" in output
    assert {name: site.pid(name) for name in (FIRST, SECOND)} == old
    assert set(site.names("web")) == {"web_00", "web_01"}


def _in_force(site: Site, namespec: str) -> None:
    for pid in (site.pid(namespec), *site.wait_ready(namespec, 2).children):
        assert "COLOUR=green" in environment(pid)
