"""Whatever is wrong with a changed configuration, or is done in the middle of its rollout: the old
arbiter and its workers serve on, no request fails, supervisord's group is as it was, the message
says why, and a later rollout works."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import Command, MakeSite, Program, Site, WorkerTable, wait_until
from tests.harness.processes import stamped

#: A worker that hangs in its boot is not waited for.
PROGRAM = Program(workers=2, conf="graceful_timeout = 1", roll={"ready_timeout_secs": "20"})
CHANGED = {"COLOUR": "green"}
SUCCESSOR = "web:web.successor"


def _fails(
    site: Site, program: Program, *says: str, options: tuple[str, ...] = (), release: str = "v1"
) -> None:
    """Roll to ``program``: that fails, says so in these words, and has no effect."""
    site.write(program)
    site.deploy(release)
    reread = site.reread()
    with site.untouched():
        output = site.roll("web", *options, status=1)
    for text in (*says, "nothing changed: arbiter ", " serves on with 2 workers"):
        assert text in output, output
    assert site.reread() == reread
    site.deploy("v1")


def _works(site: Site, program: Program) -> None:
    """A later rollout replaces the arbiter."""
    site.write(program)
    with site.unharmed(replaced=2, same_arbiter=False):
        site.roll("web", "--strategy=arbiter")
    site.assert_applied("web")


def test_what_cannot_be_started(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    _fails(
        site,
        replace(PROGRAM, gunicorn=Path("/nonexistent/gunicorn")),
        "can't find command '/nonexistent/gunicorn'",
    )
    file = site.folder / "gunicorn"
    file.write_text("#!/bin/sh\n")
    _fails(site, replace(PROGRAM, gunicorn=file), f"command at '{file}' is not executable")
    _works(site, PROGRAM)
    _fails(
        site,
        replace(PROGRAM, section={"directory": "/nonexistent"}),
        "couldn't chdir to /nonexistent: ENOENT",
        "exit status 127",
    )
    _fails(
        site,
        replace(PROGRAM, app="--no-such-option plain:app"),
        "unrecognized arguments: --no-such-option",
        "exit status 2",
    )
    _fails(site, replace(PROGRAM, conf="1 / 0"), "ZeroDivisionError", f"{site.folder}/web.conf.py")
    _works(site, replace(PROGRAM, environment=CHANGED))


def test_what_supervisord_cannot_read_is_refused(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    site.write(replace(PROGRAM, section={"user": "no-such-user"}))
    with site.untouched():
        output = site.roll("web", status=1)
    for text in (
        "refused, nothing was touched",
        "Invalid user name no-such-user",
        "program:web",
        f"{site.folder}/conf.d/web.conf",
    ):
        assert text in output
    _works(site, replace(PROGRAM, environment=CHANGED))


def test_without_the_hooks_it_ends_before_it_touches_a_socket(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    path = site.folder / "run" / "web.sock"
    inode = path.stat().st_ino
    _fails(
        site,
        replace(PROGRAM, hooks=False, environment=CHANGED),
        "exit status 1",
        "KeyError: 'GUNICORN_FD'",
    )
    assert path.stat().st_ino == inode
    _works(site, replace(PROGRAM, environment=CHANGED))


def test_an_application_that_does_not_load(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    changed = replace(PROGRAM, environment=CHANGED)
    site.add_release("raises", boot="raise")
    site.add_release("exits", boot="exit 3")
    site.add_release("leaves", boot="_exit 3")
    _fails(site, changed, "ImportError: release raises lacks a module", release="raises")
    _fails(site, changed, "SystemExit: 3", release="exits")
    _fails(site, changed, "the end of its output:", "Worker failed to boot", release="leaves")
    _fails(
        site,
        replace(changed, conf="preload_app = True"),
        "exit status 1",
        "ImportError: release raises lacks a module",
        release="raises",
    )
    _works(site, changed)


def test_a_worker_that_does_not_become_ready(make_site: MakeSite) -> None:
    program = replace(PROGRAM, roll={"health": "/_status"})
    site = make_site(program)
    changed = replace(program, environment=CHANGED)
    site.add_release("hangs", boot="hang")
    site.add_release("sick", status=500)
    impatient = ("--ready-timeout=4",)
    _fails(
        site,
        changed,
        "was not ready within 4 s: it had not loaded its application",
        "Handling signal: term",
        options=impatient,
        release="hangs",
    )
    _fails(
        site,
        changed,
        "was not ready within 4 s; its last health check: 500",
        options=impatient,
        release="sick",
    )
    _works(site, changed)


@pytest.fixture
def gated(make_site: MakeSite, request: pytest.FixtureRequest) -> Site:
    site = make_site(PROGRAM, supervisor=getattr(request, "param", None))
    site.add_release("v2", boot="gate")
    return site


def _begin(site: Site) -> Command:
    """Begin a rollout, up to where both of its successor's workers boot."""
    site.deploy("v2")
    site.write(replace(PROGRAM, environment=CHANGED))
    before = site.log("web").count("waits at its gate")
    roll = site.ctl_start("rollrestart", "web")
    roll.wait_says("starts beside")
    # They have said that they boot: one that dies before is merely forked again.
    wait_until(
        lambda: site.log("web").count("waits at its gate") == before + 2, 15, "its workers boot"
    )
    return roll


@pytest.mark.parametrize("gated", ["4.2.5"], indirect=True)
def test_in_the_middle_the_successor_or_its_worker_is_killed_or_it_is_aborted(gated: Site) -> None:
    reread = [[], ["web"], []]
    with gated.untouched():
        roll = _begin(gated)
        os.kill(gated.pid(SUCCESSOR), signal.SIGKILL)
        roll.ends(1, "terminated by SIGKILL", "nothing changed")
        assert gated.reread() == reread
        roll = _begin(gated)
        worker = min(WorkerTable(gated.pid(SUCCESSOR)).sample().children)
        os.kill(worker, signal.SIGKILL)
        roll.ends(1, f"worker {worker} of the successor exited while it booted", "SIGKILL!")
        roll = _begin(gated)
        assert "web: aborting" in gated.ctl("rollabort", "web").output
        roll.ends(1, "aborted: stopped after", "nothing changed", "aborted by supervisorctl")
        roll = _begin(gated)
        assert gated.ctl("stop", SUCCESSOR).output == f"{SUCCESSOR}: stopped\n"
        roll.ends(1, "the successor (pid ", "nothing changed")
        assert gated.reread() == reread
    gated.deploy("v1")
    _works(gated, replace(PROGRAM, environment=CHANGED))


# As which it ends depends on whether the listener saw the program while it was STOPPING.
ENDED = ("aborted", "failed")


@pytest.mark.parametrize("stopped", ["web", "web:*"])
def test_in_the_middle_the_program_is_stopped_and_both_end(gated: Site, stopped: str) -> None:
    roll = _begin(gated)
    assert "web: stopped" in gated.ctl("stop", stopped).output
    roll.ends(1, "stop")
    assert gated.state("web") == "STOPPED"
    _both_have_ended(gated)
    _starts_and_works(gated)


def test_in_the_middle_all_is_stopped(gated: Site) -> None:
    _begin(gated)
    gated.ctl("stop", "all")
    _both_are_gone(gated)
    assert gated.ctl("start", "roll").status == 0
    gated.wait_listener()
    wait_until(lambda: gated.rollout("web").get("state") in ENDED, 15, "the rollout has ended")
    _starts_and_works(gated)


def test_in_the_middle_it_is_restarted(gated: Site) -> None:
    roll = _begin(gated)
    old = gated.pid("web")
    assert gated.ctl("restart", "web").output == "web: stopped\nweb: started\n"
    assert "nothing changed" not in roll.ends(1, "stop")
    gated.open_gate("v2")
    gated.wait_ready("web", 2)
    assert gated.pid("web") != old
    wait_until(lambda: gated.arbiters("web") == [gated.pid("web")], 15, "the successor has ended")
    wait_until(lambda: gated.names("web") == ["web"], 15, "it is not shown any more")
    # What has changed is not in force yet, as after any restart.
    assert gated.reread() == [[], ["web"], []]
    _works(gated, replace(PROGRAM, environment=CHANGED))


def test_in_the_middle_it_is_updated(gated: Site) -> None:
    roll = _begin(gated)
    assert "web: updated process group" in gated.ctl("update").output
    roll.ends(1, "stop")
    _both_have_ended(gated)
    assert gated.reread() == [[], [], []]
    _starts_and_works(gated)


def test_in_the_middle_supervisord_shuts_down(gated: Site) -> None:
    _begin(gated)
    assert gated.ctl("shutdown").status == 0
    wait_until(lambda: not stamped(str(gated.folder)), 30, "no process is left")


def _both_are_gone(site: Site) -> None:
    wait_until(lambda: not site.arbiters("web"), 15, "both arbiters have ended")
    wait_until(lambda: site.names("web") == ["web"], 15, "the successor is not shown any more")


def _both_have_ended(site: Site) -> None:
    _both_are_gone(site)
    assert not Path(site.folder / "run" / "web.sock").exists()


def _starts_and_works(site: Site) -> None:
    site.deploy("v1")
    assert site.ctl("start", "web").output == "web: started\n"
    site.wait_ready("web", 2)
    _works(site, replace(PROGRAM, environment=CHANGED))
