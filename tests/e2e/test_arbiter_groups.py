"""Of several processes exactly those get another arbiter that have changed, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.harness import Load, Program, Site

UNCHANGED = [[[], [], []]]
CHANGED = {"COLOUR": "green"}
FIRST, SECOND = "web:web_00", "web:web_01"


def test_of_a_group_only_the_program_that_has_changed_gets_another_arbiter(
    make_site: Callable[..., Site],
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
    assert site.rpc.supervisor.reloadConfig() == [[[], ["shop"], []]]
    loads = [Load(str(site.folder / "run" / f"{name}.sock"), rate=30) for name in ("api", "web")]
    with loads[0], loads[1]:
        ran = site.ctl("rollrestart", "shop:web")
        summaries = [load.stop() for load in loads]
    assert ran.status == 0, ran.output
    assert "shop:web: replacing the arbiter and its 2 workers" in ran.output
    assert all(not summary.failed for summary in summaries), summaries
    assert site.pid("shop:api") == old["shop:api"]
    assert site.workers("shop:api").children == before.children
    assert site.pid("shop:web") != old["shop:web"]
    _in_force(site, "shop:web")
    assert site.rpc.supervisor.reloadConfig() == UNCHANGED
    assert _names(site) == {"api", "web"}
    # Both are rolled by one command, and each as it needs: the other's code only.
    site.wait_state("shop:web", "RUNNING")
    site.write(replace(web, environment={"COLOUR": "blue"}))
    ran = site.ctl("rollrestart", "shop:*")
    assert ran.status == 0, ran.output
    assert "shop:api: rolling 2 workers" in ran.output
    assert "shop:web: replacing the arbiter and its 2 workers" in ran.output
    assert site.pid("shop:api") == old["shop:api"]
    assert site.rpc.supervisor.reloadConfig() == UNCHANGED


def test_the_processes_of_a_program_get_theirs_one_after_the_other(
    make_site: Callable[..., Site],
) -> None:
    program = Program("web", numprocs=2)
    site = make_site(program)
    old = {name: site.pid(name) for name in (FIRST, SECOND)}
    before = site.workers(SECOND)
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    site.write(replace(program, environment=CHANGED))
    with site.load(FIRST, rate=30) as first, site.load(SECOND, rate=30) as second:
        roll = site.ctl_start("rollrestart", "web:*")
        roll.wait_says(f"{FIRST}: successor ")
        assert site.pid(f"{FIRST}.successor")
        assert site.workers(SECOND).children == before.children
        assert _names(site) == {"web_00", "web_00.successor", "web_01"}
        site.open_gate("v2")
        ran = roll.wait()
        summaries = first.stop(), second.stop()
    assert ran.status == 0, ran.output
    assert ran.output.index(f"{FIRST}: complete") < ran.output.index(f"{SECOND}: successor ")
    assert "2 programs: 2 complete" in ran.output
    assert all(not summary.failed for summary in summaries), summaries
    for name in (FIRST, SECOND):
        assert site.pid(name) != old[name]
        _in_force(site, name)
    assert _names(site) == {"web_00", "web_01"}
    assert site.rpc.supervisor.reloadConfig() == UNCHANGED


def test_none_is_touched_after_one_that_failed(make_site: Callable[..., Site]) -> None:
    program = Program("web", numprocs=2)
    site = make_site(program)
    old = {name: site.pid(name) for name in (FIRST, SECOND)}
    site.write(replace(program, section={"directory": "/nonexistent"}))
    ran = site.ctl("rollrestart", "web:*")
    assert ran.status == 1, ran.output
    assert "couldn't chdir to /nonexistent" in ran.output
    assert f"{SECOND}: skipped: not rolled, since {FIRST} failed before it" in ran.output
    assert {name: site.pid(name) for name in (FIRST, SECOND)} == old
    assert _names(site) == {"web_00", "web_01"}


def _names(site: Site) -> set[str]:
    return {
        one["name"] for one in site.rpc.supervisor.getAllProcessInfo() if one["group"] != "roll"
    }


def _in_force(site: Site, namespec: str) -> None:
    for pid in (site.pid(namespec), *site.wait_ready(namespec, 2).children):
        assert "COLOUR=green" in Path(f"/proc/{pid}/environ").read_text().split("\0")
