"""After a failed rollout on_failure puts the release back, and the fresh workers are then replaced
as carefully; a command that fails, hangs or is cut short is told, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Program, Site, wait_until
from tests.harness.processes import stamped

WORKERS = 3
PUT_BACK = "ln -sfn releases/v1 current"
# It waits to be let go on, and puts the release back. What it says shows that it runs.
WAIT_AND_PUT_BACK = f"echo $$ >> runs; while ! [ -e go ]; do sleep 0.1; done; {PUT_BACK}"

# Added to an application: its first boot goes well, every later one fails.
_ONLY_ONCE = """
from pathlib import Path
_booted = Path(__file__).resolve().parent / "booted"
if _booted.exists():
    raise ImportError("this release boots only once")
_booted.touch()
"""


def test_it_is_put_back_and_the_fresh_one_is_rolled_back(make_site: Callable[..., Site]) -> None:
    site = _site(make_site, PUT_BACK)
    before, arbiter, forks = site.workers("web"), site.pid("web"), site.boots("web")
    with site.load("web") as load, site.observe("web") as seen:
        ran = site.ctl("rollrestart", "web")
        ended = time.monotonic()
        after = site.wait_ready("web", WORKERS)
        answered = load.answered_by("v1")
        wait_until(lambda: load.answered_by("v1") > answered + 50, 30, "the old one serves")
        summary = load.stop()
    assert ran.status == 1, ran.output
    for said in (
        f"1/{WORKERS}  worker ",
        "FAILING: ",
        "ImportError: this release boots only once",
        f"failed; running on_failure: {PUT_BACK}",
        "on_failure has run (",
        "rolling back",
        "rolled back: 1 of 1 workers",
    ):
        assert said in ran.output, ran.output
    assert not summary.failed, summary
    assert {request.release for request in summary.due_since(ended)} == {"v1"}
    assert {request.pid for request in summary.due_since(ended)} <= after.children
    # The ones that were never replaced are there still. Forked were the good and the bad fresh
    # one, a spare while the rollback went on, and what replaces the fresh one.
    assert len(after.children & before.children) == WORKERS - 1
    assert site.boots("web") == forks + 4
    assert seen.min_ready == WORKERS
    assert site.pid("web") == arbiter
    status = site.ctl("rollstatus", "web").output
    assert status.startswith("web: failed\n"), status
    assert "rolled back: 1 of 1 workers" in status
    # All is as it was, and the operator is told no other thing.
    assert "both releases serve" not in ran.output
    site.add_release("v3")
    site.deploy("v3")
    again = site.ctl("rollrestart", "web")
    assert again.status == 0, again.output
    assert not site.wait_ready("web", WORKERS).children & after.children


def test_nothing_is_rolled_back_where_the_first_fails(make_site: Callable[..., Site]) -> None:
    site = _site(make_site, PUT_BACK)
    (site.folder / "releases" / "v2" / "booted").touch()
    before, forks = site.workers("web"), site.boots("web")
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 1, ran.output
    assert "no fresh worker was left to roll back" in ran.output
    assert site.current.resolve().name == "v1"
    assert site.wait_ready("web", WORKERS).children == before.children
    assert site.boots("web") == forks + 1


def test_a_command_that_fails_is_told_and_not_repeated(make_site: Callable[..., Site]) -> None:
    site = _site(make_site, "echo $SUPERVISOR_ROLL_PROGRAM >> runs; echo no such host; exit 1")
    before = site.workers("web")
    with site.load("web") as load, site.observe("web") as seen:
        ran = site.ctl("rollrestart", "web")
        summary = load.stop()
    assert ran.status == 1, ran.output
    assert "on_failure failed, and nothing was rolled back: " in ran.output
    assert "no such host" in ran.output
    assert f"{WORKERS - 1} outdated, 1 fresh" in ran.output
    assert "both releases serve now" in ran.output
    # Its own words, not those of a preflight.
    assert "while it loaded the application" not in ran.output
    assert _runs(site) == ["web"]
    assert not summary.failed, summary
    assert seen.min_ready == WORKERS
    after = site.wait_ready("web", WORKERS)
    assert len(after.children & before.children) == WORKERS - 1
    assert "nothing was rolled back" in site.ctl("rollstatus", "web").output


def test_a_command_that_hangs_is_ended_at_its_time(make_site: Callable[..., Site]) -> None:
    site = _site(make_site, "echo $$ >> runs; sleep 600; echo never", on_failure_timeout_secs="2")
    before = site.workers("web")
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 1, ran.output
    assert "on_failure failed, and nothing was rolled back: " in ran.output
    assert "within 2 s" in ran.output
    assert "loaded within" not in ran.output
    assert len(_runs(site)) == 1
    _wait_command_gone(site)
    assert len(site.wait_ready("web", WORKERS).children & before.children) == WORKERS - 1


def test_a_rollback_that_fails_is_not_followed_by_another(make_site: Callable[..., Site]) -> None:
    site = _site(make_site, "echo $$ >> runs")  # which leaves the bad release in its place
    before = site.workers("web")
    with site.load("web") as load, site.observe("web") as seen:
        ran = site.ctl("rollrestart", "web")
        summary = load.stop()
    assert ran.status == 1, ran.output
    assert "the rollback failed: " in ran.output
    assert len(_runs(site)) == 1
    assert not summary.failed, summary
    assert seen.min_ready == WORKERS
    after = site.wait_ready("web", WORKERS)
    assert len(after.children & before.children) == WORKERS - 1


def test_a_rollback_is_carried_on_by_the_next_listener(make_site: Callable[..., Site]) -> None:
    site = _site(make_site, "echo $$ >> runs; ln -sfn releases/mended current")
    site.add_release("mended", boot="gate")
    before = site.workers("web")
    with site.load("web") as load, site.observe("web") as seen:
        roll = site.ctl_start("rollrestart", "web")
        roll.wait_says("rolling back")
        site.wait_booting("web", 1)
        listener = site.listener_pid
        os.kill(listener, signal.SIGKILL)
        site.wait_listener(other_than=listener)
        site.open_gate("mended")
        ran = roll.wait()
        after = site.wait_ready("web", WORKERS)
        summary = load.stop()
    assert ran.status == 1, ran.output
    assert "rolled back: 1 of 1 workers" in ran.output
    assert len(after.children & before.children) == WORKERS - 1
    assert len(_runs(site)) == 1
    assert not summary.failed, summary
    assert seen.min_ready == WORKERS


def test_a_listener_that_is_killed_meanwhile_cuts_it_short(make_site: Callable[..., Site]) -> None:
    site = _site(make_site, WAIT_AND_PUT_BACK)
    before = site.workers("web")
    roll = site.ctl_start("rollrestart", "web")
    wait_until(lambda: _runs(site), 30, "on_failure runs")
    listener = site.listener_pid
    os.kill(listener, signal.SIGKILL)
    site.wait_listener(other_than=listener)
    ran = roll.wait()
    assert ran.status == 1, ran.output
    assert "on_failure was cut short by a restart of the listener" in ran.output
    assert len(_runs(site)) == 1
    assert len(site.wait_ready("web", WORKERS).children & before.children) == WORKERS - 1
    # It was cut short indeed, and changes nothing behind the operator's back any more.
    _wait_command_gone(site)
    assert site.current.resolve().name == "v2"


def test_a_worker_that_dies_meanwhile_is_a_matter_for_the_arbiter(
    make_site: Callable[..., Site],
) -> None:
    site = _site(make_site, WAIT_AND_PUT_BACK)
    before, listener = site.workers("web"), site.listener_pid
    roll = site.ctl_start("rollrestart", "web")
    wait_until(lambda: _runs(site), 30, "on_failure runs")
    victim, survivor = sorted(site.workers("web").children & before.children)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in site.workers("web").children, 15, "it is gone")
    (site.folder / "go").touch()
    ran = roll.wait()
    assert ran.status == 1, ran.output
    assert "on_failure has run (" in ran.output
    assert site.listener_pid == listener
    after = site.wait_ready("web", WORKERS, deadline_secs=60)
    assert after.children & before.children == {survivor}
    assert len(_runs(site)) == 1


@pytest.mark.parametrize("command", ["rollabort", "rollpause", "rollresume"])
def test_what_is_asked_meanwhile_does_no_harm(make_site: Callable[..., Site], command: str) -> None:
    site = _site(make_site, WAIT_AND_PUT_BACK)
    before, listener = site.workers("web"), site.listener_pid
    roll = site.ctl_start("rollrestart", "web")
    wait_until(lambda: _runs(site), 30, "on_failure runs")
    assert site.ctl(command, "web").status == 0
    again = site.ctl("rollrestart", "web")
    assert again.status == 1, again.output
    assert "it is being rolled already" in again.output
    (site.folder / "go").touch()
    ran = roll.wait()
    assert ran.status == 1, ran.output
    assert site.listener_pid == listener
    assert len(site.wait_ready("web", WORKERS).children & before.children) == WORKERS - 1
    assert len(_runs(site)) == 1


def _site(make_site: Callable[..., Site], on_failure: str, **roll: str) -> Site:
    """Deployed is a release whose second boot fails."""
    site = make_site(
        Program(workers=WORKERS, boot_secs=0.3, roll={"on_failure": on_failure, **roll})
    )
    plain = site.add_release("v2") / "plain.py"
    plain.write_text(plain.read_text() + _ONLY_ONCE)
    site.deploy("v2")
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
