"""Whatever is wrong with a changed configuration, or is done in the middle of its rollout: the old
arbiter and its workers serve on, no request fails, supervisord's group is as it was, the message
says why, and a later rollout works."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import Command, Program, Ran, Site, WorkerTable, supervisor_venv, wait_until
from tests.harness.processes import stamped

#: A worker that hangs in its boot is not waited for.
PROGRAM = Program(workers=2, conf="graceful_timeout = 1", roll={"ready_timeout_secs": "20"})
CHANGED = {"COLOUR": "green"}
SUCCESSOR = "web:web.successor"


@contextmanager
def _untouched(site: Site) -> Iterator[None]:
    """All the while and afterwards what serves is what was there, and no request fails."""
    arbiter, workers = site.pid("web"), site.workers("web").children
    with site.load("web", rate=40) as load, site.observe("web") as seen:
        wait_until(lambda: load.answered_by("v1") > 5, 15, "requests are answered")
        yield
        answered = load.answered_by("v1")
        wait_until(lambda: load.answered_by("v1") > answered + 10, 15, "requests go on")
        summary = load.stop()
    assert not summary.failed, summary
    assert {sample.ready for sample in seen.samples} == {workers}
    assert site.pid("web") == arbiter
    assert site.arbiters("web") == [arbiter]
    assert _names(site) == ["web"]


def _names(site: Site) -> list[str]:
    return [one["name"] for one in site.rpc.supervisor.getAllProcessInfo() if one["group"] == "web"]


def _fails(
    site: Site, program: Program, *says: str, options: tuple[str, ...] = (), release: str = "v1"
) -> None:
    """Roll to ``program``: that fails, says so in these words, and has no effect."""
    site.write(program)
    site.deploy(release)
    reread = site.rpc.supervisor.reloadConfig()
    with _untouched(site):
        ran = site.ctl("rollrestart", *options, "web")
    assert ran.status == 1, ran.output
    for text in (*says, "nothing changed: arbiter ", " serves on with 2 workers"):
        assert text in ran.output, ran.output
    assert site.rpc.supervisor.reloadConfig() == reread
    site.deploy("v1")


def _works(site: Site, program: Program) -> None:
    """A later rollout replaces the arbiter."""
    old = site.pid("web")
    site.write(program)
    ran = site.ctl("rollrestart", "--strategy=arbiter", "web")
    assert ran.status == 0, ran.output
    site.wait_ready("web", program.workers)
    assert site.pid("web") != old
    assert _names(site) == ["web"]
    assert site.rpc.supervisor.reloadConfig() == [[[], [], []]]
    site.wait_state("web", "RUNNING")


def test_what_cannot_be_started(make_site: Callable[..., Site]) -> None:
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


def test_what_supervisord_cannot_read_is_refused(make_site: Callable[..., Site]) -> None:
    site = make_site(PROGRAM)
    site.write(replace(PROGRAM, section={"user": "no-such-user"}))
    with _untouched(site):
        ran = site.ctl("rollrestart", "web")
    assert ran.status == 1, ran.output
    for text in (
        "refused, nothing was touched",
        "Invalid user name no-such-user",
        "program:web",
        f"{site.folder}/conf.d/web.conf",
    ):
        assert text in ran.output
    _works(site, replace(PROGRAM, environment=CHANGED))


def test_without_the_hooks_it_ends_before_it_touches_a_socket(
    make_site: Callable[..., Site],
) -> None:
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


def test_an_application_that_does_not_load(make_site: Callable[..., Site]) -> None:
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


def test_a_worker_that_does_not_become_ready(make_site: Callable[..., Site]) -> None:
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
def gated(make_site: Callable[..., Site], request: pytest.FixtureRequest) -> Site:
    version = getattr(request, "param", None)
    options = {"supervisor": supervisor_venv(version)} if version else {}
    site = make_site(PROGRAM, **options)
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


def _successors_workers(site: Site) -> frozenset[int]:
    return WorkerTable(site.pid(SUCCESSOR)).sample().children


def _failed(roll: Command, *says: str) -> Ran:
    ran = roll.wait()
    assert ran.status == 1, ran.output
    for text in says:
        assert text in ran.output, ran.output
    return ran


@pytest.mark.parametrize("gated", ["4.2.5"], indirect=True)
def test_in_the_middle_the_successor_or_its_worker_is_killed_or_it_is_aborted(gated: Site) -> None:
    reread = [[[], ["web"], []]]
    with _untouched(gated):
        roll = _begin(gated)
        os.kill(gated.pid(SUCCESSOR), signal.SIGKILL)
        _failed(roll, "terminated by SIGKILL", "nothing changed")
        assert gated.rpc.supervisor.reloadConfig() == reread
        roll = _begin(gated)
        worker = min(_successors_workers(gated))
        os.kill(worker, signal.SIGKILL)
        _failed(roll, f"worker {worker} of the successor exited while it booted", "SIGKILL!")
        roll = _begin(gated)
        assert "web: aborting" in gated.ctl("rollabort", "web").output
        _failed(roll, "aborted: stopped after", "nothing changed", "aborted by supervisorctl")
        roll = _begin(gated)
        assert gated.ctl("stop", SUCCESSOR).output == f"{SUCCESSOR}: stopped\n"
        _failed(roll, "the successor (pid ", "nothing changed")
        assert gated.rpc.supervisor.reloadConfig() == reread
    gated.deploy("v1")
    _works(gated, replace(PROGRAM, environment=CHANGED))


# As which it ends depends on whether the listener saw the program while it was STOPPING.
ENDED = ("aborted", "failed")


@pytest.mark.parametrize("stopped", ["web", "web:*"])
def test_in_the_middle_the_program_is_stopped_and_both_end(gated: Site, stopped: str) -> None:
    roll = _begin(gated)
    assert "web: stopped" in gated.ctl("stop", stopped).output
    _failed(roll, "stop")
    assert gated.state("web") == "STOPPED"
    _both_have_ended(gated)
    _starts_and_works(gated)


def test_in_the_middle_all_is_stopped(gated: Site) -> None:
    _begin(gated)
    gated.ctl("stop", "all")
    wait_until(lambda: not gated.arbiters("web"), 15, "both arbiters have ended")
    assert _names(gated) == ["web"]
    assert gated.ctl("start", "roll").status == 0
    gated.wait_listener()
    wait_until(lambda: gated.rollout("web").get("state") in ENDED, 15, "the rollout has ended")
    _starts_and_works(gated)


def test_in_the_middle_it_is_restarted(gated: Site) -> None:
    roll = _begin(gated)
    old = gated.pid("web")
    assert gated.ctl("restart", "web").output == "web: stopped\nweb: started\n"
    ran = _failed(roll, "stop")
    assert "nothing changed" not in ran.output
    gated.open_gate("v2")
    gated.wait_ready("web", 2)
    assert gated.arbiters("web") == [gated.pid("web")] != [old]
    assert _names(gated) == ["web"]
    # What has changed is not in force yet, as after any restart.
    assert gated.rpc.supervisor.reloadConfig() == [[[], ["web"], []]]
    _works(gated, replace(PROGRAM, environment=CHANGED))


def test_in_the_middle_it_is_updated(gated: Site) -> None:
    roll = _begin(gated)
    assert "web: updated process group" in gated.ctl("update").output
    _failed(roll, "stop")
    _both_have_ended(gated)
    assert gated.rpc.supervisor.reloadConfig() == [[[], [], []]]
    _starts_and_works(gated)


def test_in_the_middle_supervisord_shuts_down(gated: Site) -> None:
    _begin(gated)
    assert gated.ctl("shutdown").status == 0
    wait_until(lambda: not stamped(str(gated.folder)), 30, "no process is left")


def _both_have_ended(site: Site) -> None:
    wait_until(lambda: not site.arbiters("web"), 15, "both arbiters have ended")
    assert _names(site) == ["web"]
    assert not Path(site.folder / "run" / "web.sock").exists()


def _starts_and_works(site: Site) -> None:
    site.deploy("v1")
    assert site.ctl("start", "web").output == "web: started\n"
    site.wait_ready("web", 2)
    _works(site, replace(PROGRAM, environment=CHANGED))
