"""``auto=true`` and ``rollupdate``: changed programs are rolled, all others are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.harness import MakeSite, Program, Site, steady, wait_until
from tests.harness.processes import environment

AUTO = {"auto": "true", "settle_secs": "0.5"}


def wait_rolled(site: Site, namespec: str, job: str = "", state: str = "complete") -> str:
    """Wait until a rollout other than ``job`` has ended so; its job."""

    def ended() -> str | None:
        found = site.rollout(namespec)
        return found["job"] if found.get("state") == state and found["job"] != job else None

    return wait_until(ended, 30, f"{namespec} is rolled: {state}")


def settled_for(site: Site, looks: int = 3) -> None:
    """Wait until the listener has looked at the files, and let them settle, several times.

    It does so once a second; what it would begin with it would have begun with by then.
    """
    ticks: list[int] = []

    def ticked() -> bool:
        spent = Path(f"/proc/{site.listener_pid}/sched").read_text()
        switches = next(line for line in spent.splitlines() if line.startswith("nr_voluntary"))
        ticks.append(int(switches.split(":")[1]))
        return ticks[-1] >= ticks[0] + 2 * looks

    wait_until(ticked, 30, "the listener has looked again", 0.2)


def wait_unchanged(site: Site) -> None:
    """Wait until supervisord itself finds nothing changed in its files."""
    wait_until(lambda: site.reread() == [[], [], []], 20, "the changes are heeded", 0.3)


def listener_log(site: Site) -> str:
    return "".join(log.read_text() for log in sorted((site.folder / "logs").glob("roll-stderr*")))


def test_a_changed_section_is_rolled_by_itself_and_nothing_else(make_site: MakeSite) -> None:
    web = Program("web", workers=2, boot_secs=0.3, roll=AUTO)
    site = make_site(
        web,
        Program("auto", workers=1, roll=AUTO),
        Program("manual", workers=1, roll={}),
        Program("none", workers=1),
    )
    pids = {name: site.pid(name) for name in ("auto", "manual", "none")}
    with steady(load := site.load("web")):
        for program in (web, site.programs["manual"], site.programs["none"]):
            site.write(replace(program, environment={"COLOUR": "green"}))
        wait_rolled(site, "web")
    assert not load.so_far().failed, load.so_far()
    assert "COLOUR=green" in environment(site.pid("web"))
    settled_for(site)
    assert {name: site.pid(name) for name in pids} == pids
    assert {name: site.rollout(name) for name in pids} == {name: {} for name in pids}
    status = site.ctl("rollstatus", "web").output
    assert "the listener, since its configuration has changed: environment" in status, status
    # What only the operator's update would apply is left for that.
    assert sorted(site.reread()[1]) == ["manual", "none"]


def test_an_invalid_file_is_reported_once_and_rolls_nothing_until_it_is_mended(
    make_site: MakeSite,
) -> None:
    web = Program("web", workers=1, roll=AUTO)
    site = make_site(web)
    pid = site.pid("web")
    site.write_conf("broken", "[program:broken]\ncommand=/bin/cat\nstartsecs=soon\n")
    site.write(replace(web, environment={"COLOUR": "green"}))
    wait_until(
        lambda: "startsecs" in listener_log(site) or "soon" in listener_log(site),
        15,
        "the invalid file is reported",
    )
    settled_for(site)
    said = [line for line in listener_log(site).splitlines() if "broken.conf" in line]
    assert len(said) == 1, said
    assert "program:broken" in said[0]
    assert site.pid("web") == pid
    (site.folder / "conf.d" / "broken.conf").unlink()
    wait_rolled(site, "web")
    assert "COLOUR=green" in environment(site.pid("web"))


def test_what_has_failed_is_not_tried_again_until_it_changes(make_site: MakeSite) -> None:
    web = Program("web", workers=1, roll=AUTO)
    site = make_site(web)
    pid, before = site.pid("web"), site.workers("web")
    site.write(replace(web, section={"command": "/does/not/exist"}))
    job = wait_rolled(site, "web", state="failed")
    settled_for(site)
    assert site.rollout("web")["job"] == job
    site.write_conf("another", "; a comment is no change of the program\n")
    settled_for(site)
    assert site.rollout("web")["job"] == job
    assert (site.pid("web"), site.workers("web").children) == (pid, before.children)
    site.write(replace(web, environment={"COLOUR": "green"}))
    wait_rolled(site, "web", job)
    assert "COLOUR=green" in environment(site.pid("web"))


def test_a_watched_release_link_rolls_the_workers(make_site: MakeSite) -> None:
    site = make_site(Program("web", workers=2, boot_secs=0.2), start=False)
    site.write(replace(site.programs["web"], roll={**AUTO, "watch": str(site.current)}))
    site.start()
    pid, before = site.pid("web"), site.workers("web")
    site.add_release("v2")
    settled_for(site)
    assert site.rollout("web") == {}
    site.deploy("v2")
    wait_rolled(site, "web")
    after = site.wait_replaced("web", before)
    assert site.pid("web") == pid
    with site.load("web", rate=50) as load:
        wait_until(lambda: load.answered_by("v2") > 5, 15, "the new release answers")
        assert load.stop().answered.keys() == {"v2"}
    # A release that fails is tried once, and one change later again.
    site.add_release("v3", boot="raise")
    job = site.rollout("web")["job"]
    site.deploy("v3")
    job = wait_rolled(site, "web", job, "failed")
    settled_for(site)
    assert site.rollout("web")["job"] == job
    assert site.workers("web").children == after.children


def test_a_changed_numprocs_starts_rolls_and_stops(make_site: MakeSite) -> None:
    web = Program("web", workers=1, numprocs=2, roll=AUTO, section={"autostart": "true"})
    site = make_site(web)
    first, second = site.pid("web:web_00"), site.pid("web:web_01")
    site.write(replace(web, numprocs=3, environment={"COLOUR": "green"}))
    wait_rolled(site, "web:web_00")
    wait_rolled(site, "web:web_01")
    site.wait_ready("web:web_02", 1)
    assert site.pid("web:web_00") != first and site.pid("web:web_01") != second
    for name in site.programs["web"].processes:
        assert "COLOUR=green" in environment(site.pid(name))
    wait_unchanged(site)
    kept = {name: site.pid(name) for name in ("web:web_00", "web:web_01")}
    site.write(replace(web, numprocs=2, environment={"COLOUR": "green"}))
    wait_until(
        lambda: sorted(site.names("web")) == ["web_00", "web_01"], 30, "the dropped one is gone"
    )
    assert {name: site.pid(name) for name in kept} == kept
    wait_unchanged(site)


def test_only_live_keys_take_no_rollout(make_site: MakeSite) -> None:
    web = Program("web", workers=1, roll=AUTO)
    site = make_site(web)
    pid, before = site.pid("web"), site.workers("web")
    site.write(replace(web, section={"stopwaitsecs": "17", "startretries": "9"}))
    wait_unchanged(site)
    assert (site.pid("web"), site.workers("web").children) == (pid, before.children)
    assert site.rollout("web") == {}


def test_a_change_made_while_no_listener_ran_is_noticed(make_site: MakeSite) -> None:
    web = Program("web", workers=1, roll=AUTO)
    site = make_site(web)
    settled_for(site)
    site.rpc.supervisor.stopProcess("roll")
    site.write(replace(web, environment={"COLOUR": "green"}))
    site.rpc.supervisor.startProcess("roll")
    wait_rolled(site, "web")
    assert "COLOUR=green" in environment(site.pid("web"))


def test_rollupdate_does_for_roll_programs_what_update_does(make_site: MakeSite) -> None:
    web = Program("web", workers=1, roll={})
    gone = Program("gone", workers=1, roll={})
    site = make_site(
        web,
        Program("same", workers=1, roll={}),
        gone,
        Program("plain", workers=1),
        supervisor="4.2.5",
    )
    ran = site.ctl("rollupdate")
    assert (ran.status, ran.output.strip().splitlines()[-1]) == (0, "no changes"), ran.output
    same, plain = site.pid("same"), site.pid("plain")
    site.write(replace(web, environment={"COLOUR": "green"}))
    site.write(replace(site.programs["plain"], environment={"COLOUR": "green"}))
    site.write(Program("new", workers=1, roll={}, section={"autostart": "true"}))
    (site.folder / "conf.d" / "gone.conf").unlink()
    site.ctl_start("rollupdate").ends(0, "web: complete", "supervisorctl update plain")
    assert "COLOUR=green" in environment(site.pid("web"))
    assert (site.pid("same"), site.pid("plain")) == (same, plain)
    site.wait_ready("new", 1)
    wait_until(lambda: not site.names("gone"), 20, "it is gone")
    site.write_conf("broken", "[program:broken]\n")
    site.ctl_start("rollupdate").ends(1, "program:broken")
    (site.folder / "conf.d" / "broken.conf").unlink()
    site.ctl_start("rollupdate", "nobody").ends(1, "nobody: no such program")
