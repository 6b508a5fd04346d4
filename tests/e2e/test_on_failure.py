"""After a failed rollout on_failure puts the release back, and the fresh workers are then replaced
as carefully; a command that fails, hangs or is cut short is told, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.harness import MakeSite, Program, Site, wait_until
from tests.harness.processes import stamped

WORKERS = 3
PUT_BACK = "ln -sfn releases/v1 current"
# It waits to be let go on, and puts the release back. What it says shows that it runs.
WAIT_AND_PUT_BACK = f"echo $$ >> runs; while ! [ -e go ]; do sleep 0.1; done; {PUT_BACK}"


def test_it_is_put_back_and_the_fresh_one_is_rolled_back(make_site: MakeSite) -> None:
    site = _site(make_site, PUT_BACK)
    forks = site.boots("web")
    with site.unharmed(replaced=1) as (load, _, _):
        output = site.roll("web", status=1)
        ended = time.monotonic()
        after = site.wait_ready("web", WORKERS)
        wait_until(lambda: len(load.so_far().due_since(ended)) > 50, 30, "requests go on")
    assert "rolled back: 1 of 1 workers" in output
    # All is as it was, and the operator is told no other thing.
    assert "both releases serve" not in output
    later = load.so_far().due_since(ended)
    assert {request.release for request in later} == {"v1"}
    assert {request.pid for request in later} <= after.children
    # Forked were the good and the bad fresh one, a spare while the rollback went on, and what
    # replaces the fresh one.
    assert site.boots("web") == forks + 4
    assert site.rollout("web")["state"] == "failed"
    site.deploy("v3")
    with site.unharmed(replaced=WORKERS):
        site.roll("web")


def test_nothing_is_rolled_back_where_the_first_fails(make_site: MakeSite) -> None:
    site = _site(make_site, PUT_BACK)
    (site.folder / "releases" / "v2" / "booted").touch()
    forks = site.boots("web")
    with site.unharmed(replaced=0):
        output = site.roll("web", status=1)
    assert "no fresh worker was left to roll back" in output
    assert site.current.resolve().name == "v1"
    assert site.boots("web") == forks + 1


def test_a_command_that_fails_is_told_and_not_repeated(make_site: MakeSite) -> None:
    site = _site(make_site, "echo $SUPERVISOR_ROLL_PROGRAM >> runs; echo no such host; exit 1")
    with site.unharmed(replaced=1):
        output = site.roll("web", status=1)
    assert "on_failure failed, and nothing was rolled back: " in output
    assert "no such host" in output
    assert f"{WORKERS - 1} outdated, 1 fresh" in output
    assert "both releases serve now" in output
    # Its own words, not those of a preflight.
    assert "while it loaded the application" not in output
    assert _runs(site) == ["web"]


def test_a_command_that_hangs_is_ended_at_its_time(make_site: MakeSite) -> None:
    site = _site(make_site, "echo $$ >> runs; sleep 600; echo never", on_failure_timeout_secs="2")
    with site.unharmed(replaced=1):
        output = site.roll("web", status=1)
    assert "on_failure failed, and nothing was rolled back: " in output
    assert "within 2 s" in output
    assert "loaded within" not in output
    _wait_command_gone(site)


def test_a_rollback_that_fails_is_not_followed_by_another(make_site: MakeSite) -> None:
    site = _site(make_site, "echo $$ >> runs")  # which leaves the bad release in its place
    with site.unharmed(replaced=1):
        assert "the rollback failed: " in site.roll("web", status=1)
    assert len(_runs(site)) == 1


def test_a_rollback_is_carried_on_by_the_next_listener(make_site: MakeSite) -> None:
    site = _site(make_site, "echo $$ >> runs; ln -sfn releases/mended current")
    site.add_release("mended", boot="gate")
    with site.unharmed(replaced=1):
        roll = site.ctl_start("rollrestart", "web")
        roll.wait_says("rolling back")
        site.wait_booting("web", 1)
        site.restart_listener()
        site.open_gate("mended")
        roll.ends(1, "rolled back: 1 of 1 workers")
    assert len(_runs(site)) == 1


def test_a_listener_that_is_killed_meanwhile_cuts_it_short(make_site: MakeSite) -> None:
    site = _site(make_site, WAIT_AND_PUT_BACK)
    with site.unharmed(replaced=1):
        roll = site.ctl_start("rollrestart", "web")
        wait_until(lambda: _runs(site), 30, "on_failure runs")
        site.restart_listener()
        roll.ends(1, "on_failure was cut short by a restart of the listener")
    assert len(_runs(site)) == 1
    # It was cut short indeed, and changes nothing behind the operator's back any more.
    _wait_command_gone(site)
    assert site.current.resolve().name == "v2"


def test_a_worker_that_dies_meanwhile_is_a_matter_for_the_arbiter(make_site: MakeSite) -> None:
    site = _site(make_site, WAIT_AND_PUT_BACK)
    before, listener = site.workers("web"), site.listener_pid
    roll = site.ctl_start("rollrestart", "web")
    wait_until(lambda: _runs(site), 30, "on_failure runs")
    victim, survivor = sorted(site.workers("web").children & before.children)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in site.workers("web").children, 15, "it is gone")
    (site.folder / "go").touch()
    output = roll.ends(1)
    assert "on_failure has run (" in output
    assert site.listener_pid == listener
    after = site.wait_ready("web", WORKERS, deadline_secs=60)
    assert after.children & before.children == {survivor}
    assert len(_runs(site)) == 1


def test_what_is_asked_meanwhile_does_no_harm(make_site: MakeSite) -> None:
    site = _site(make_site, WAIT_AND_PUT_BACK)
    listener = site.listener_pid
    with site.unharmed(replaced=1):
        roll = site.ctl_start("rollrestart", "web")
        wait_until(lambda: _runs(site), 30, "on_failure runs")
        assert "it is being rolled already" in site.roll("web", status=1)
        for command in ("rollpause", "rollresume", "rollabort"):
            assert site.ctl(command, "web").status == 0
        (site.folder / "go").touch()
        roll.ends(1)
    assert site.listener_pid == listener
    assert len(_runs(site)) == 1


def _site(make_site: MakeSite, on_failure: str, **roll: str) -> Site:
    """Deployed is a release whose second boot fails."""
    site = make_site(
        Program(workers=WORKERS, boot_secs=0.3, roll={"on_failure": on_failure, **roll})
    )
    site.deploy("v2", boot="once")
    return site


def _runs(site: Site) -> list[str]:
    """What each run of the command has said."""
    said = Path(site.folder / "runs")
    return said.read_text().split() if said.exists() else []


def _wait_command_gone(site: Site) -> None:
    """The command wrote its pid, which is its session too."""
    (pid,) = map(int, _runs(site))

    def gone() -> bool:
        sessions = []
        for process in stamped(str(site.folder)):
            try:
                sessions.append(os.getsid(process.pid))
            except ProcessLookupError:
                continue
        return pid not in sessions

    wait_until(gone, 15, "nothing of the command is left")
