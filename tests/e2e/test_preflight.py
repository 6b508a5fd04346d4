"""With preflight=true a release is loaded in a throw-away process, as the program would be, before
any worker is touched: one that cannot be loaded costs nothing at all, and nothing is left over."""

from __future__ import annotations

import json
import os
import pwd
import sys
from typing import Any

import psutil
import pytest

from tests.harness import MakeSite, Program, Site, patience, wait_until
from tests.harness.other_user import nobody_runs
from tests.harness.processes import stamped

WORKERS = 2
IN_PLACE = {"preflight": "true", "max_surge": "0", "max_unavailable": "1"}
SURGE = {"preflight": "true"}

# Added to an application: it writes down how it is loaded, each time.
_WITNESS = """
import os
with open(os.environ["WITNESS"], "a") as written:
    written.write(json.dumps({
        "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
        "cwd": os.getcwd(), "started_in": os.environ["STARTED_IN"], "color": os.environ["COLOR"],
        "preflight": os.environ.get("SUPERVISOR_ROLL_PREFLIGHT", ""),
    }) + "\\n")
"""


# How a release cannot be loaded, and what supervisorctl is to say of it.
FAILURES = {
    "raise": ("ImportError: release bad lacks a module", "release.py", "in _boot"),
    "syntax": ("SyntaxError: invalid syntax", "views.py", "def index(:"),
    "exit 0": (),
    "exit 3": ("status 3",),
    "_exit 3": ("status 3",),
    "kill": ("it was killed",),
}


@pytest.mark.parametrize("boot", FAILURES)
def test_a_release_that_cannot_be_loaded_touches_no_worker(make_site: MakeSite, boot: str) -> None:
    site = _site(make_site, IN_PLACE)
    site.deploy("bad", boot=boot)
    output = _untouched(site)
    for text in ("FAILING: preflight: ", "2 outdated, 0 fresh", *FAILURES[boot]):
        assert text in output, output


@pytest.mark.parametrize("roll", [IN_PLACE, SURGE], ids=["in place", "surge"])
def test_a_good_release_is_loaded_and_then_rolled(
    make_site: MakeSite, roll: dict[str, str]
) -> None:
    site = _site(make_site, roll)
    site.deploy("v2", boot="gate")
    beside, least = _processes(site), WORKERS - int(roll.get("max_unavailable", "0"))
    with site.unharmed(least_ready=least, replaced=WORKERS) as (_, _, before):
        rolling = site.ctl_start("rollrestart", "web")
        wait_until(lambda: _preflights(site), 30, "the preflight runs")
        assert site.workers("web").ready == before.ready
        site.open_gate("v2")
        rolling.ends(
            0, "preflight: the application loads (", f"complete: {WORKERS} workers replaced"
        )
    _wait_processes(site, beside - before.children | site.workers("web").children)


def test_with_a_surge_nothing_is_retired_before_it_has_been_loaded(make_site: MakeSite) -> None:
    site = _site(make_site, SURGE)
    site.deploy("v2", boot="gate")
    before = site.workers("web")
    rolling = site.ctl_start("rollrestart", "web")
    (preflight,) = wait_until(lambda: _preflights(site), 30, "the preflight runs")
    preflight.suspend()
    site.open_gate("v2")
    site.wait_ready("web", WORKERS + 1)
    wait_until(lambda: site.rollout("web")["ready"] == WORKERS + 1, 15, "the listener knows")
    assert before.children <= site.workers("web").ready
    preflight.resume()
    rolling.ends()
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_it_is_loaded_as_the_program_loads_it(make_site: MakeSite) -> None:
    user = "nobody" if nobody_runs(sys.executable) else ""
    section = {"directory": "%(here)s/../releases"} | ({"user": user} if user else {})
    site = make_site(
        Program(
            workers=WORKERS,
            conf="import os; os.environ['STARTED_IN'] = os.getcwd()",
            roll=IN_PLACE,
            section=section,
            environment={"COLOR": "green, 100%%", "WITNESS": "%(here)s/../tmp/witness"},
        ),
        start=False,
    )
    for folder in (site.folder, site.folder / "run", site.folder / "tmp"):
        folder.chmod(0o1777)
    site.start()
    site.add_release("v2")
    plain = site.folder / "releases" / "v2" / "plain.py"
    plain.write_text(plain.read_text() + _WITNESS)
    site.deploy("v2")
    site.roll("web")
    written = (site.folder / "tmp" / "witness").read_text().splitlines()
    preflight, *workers = (json.loads(line) for line in written)
    assert preflight.pop("preflight") == "1"
    assert len(workers) == WORKERS
    # Gunicorn's arbiter stays where it was when it started; a fresh worker goes where that leads.
    assert preflight.pop("cwd") == str(site.folder / "releases" / "v2")
    for worker in workers:
        assert worker.pop("preflight") == ""
        assert worker.pop("cwd") == str(site.folder / "releases" / "v2")
        assert preflight == worker
    assert preflight["started_in"] == str(site.folder / "releases")
    assert preflight["color"] == "green, 100%"
    assert preflight["uids"] == [pwd.getpwnam(user).pw_uid if user else os.getuid()] * 3


def test_it_has_what_gunicorn_puts_into_the_environment(make_site: MakeSite) -> None:
    site = _site(make_site, IN_PLACE, conf="raw_env = ['FLAVOUR=mint']")
    plain = site.add_release("v2") / "plain.py"
    plain.write_text(plain.read_text() + "\nimport os\nFLAVOUR = os.environ['FLAVOUR']\n")
    site.deploy("v2")
    before = site.workers("web")
    site.roll("web")
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_one_that_hangs_is_ended_at_its_time_and_shows_where(make_site: MakeSite) -> None:
    secs = f"{1.5 * patience():.0f}"  # in time to boot, on a busy machine too
    site = _site(make_site, IN_PLACE | {"ready_timeout_secs": secs})
    site.deploy("hangs", boot="hang")
    output = _untouched(site)
    assert f"not loaded within {secs} s" in output
    assert "in _boot" in output


def test_one_that_is_under_way_is_ended_by_an_abort(make_site: MakeSite) -> None:
    site = _site(make_site, IN_PLACE)
    site.deploy("hangs", boot="hang")
    before, beside = site.workers("web"), _processes(site)
    rolling = site.ctl_start("rollrestart", "web")
    wait_until(lambda: _preflights(site), 30, "the preflight runs")
    assert site.ctl("rollabort", "web").status == 0
    rolling.ends(1, "aborted")
    _wait_processes(site, beside)
    assert site.workers("web").ready == before.ready


@pytest.mark.parametrize("asked", [(), ("--dry-run",)], ids=["rollout", "dry run"])
def test_it_ends_with_a_program_that_is_stopped(
    make_site: MakeSite, asked: tuple[str, ...]
) -> None:
    site = _site(make_site, IN_PLACE | {"ready_timeout_secs": "3600"})
    site.deploy("hangs", boot="hang")
    gone = site.workers("web").children | {site.pid("web")}
    beside = _processes(site)
    rolling = site.ctl_start("rollrestart", *asked, "web")
    wait_until(lambda: _preflights(site), 30, "the preflight runs")
    assert site.ctl("stop", "web").status == 0
    rolling.ends(1)
    _wait_processes(site, beside - gone)
    wait_until(lambda: site.names("web") == ["web"], 15, "it is not shown any more")


@pytest.mark.parametrize("asked", [(), ("--dry-run",)], ids=["rollout", "dry run"])
def test_a_second_request_that_is_refused_does_not_end_it(
    make_site: MakeSite, asked: tuple[str, ...]
) -> None:
    site = _site(make_site, IN_PLACE)
    site.deploy("v2", boot="gate")
    before = site.workers("web")
    rolling = site.ctl_start("rollrestart", "web")
    wait_until(lambda: _preflights(site), 30, "the preflight runs")
    assert "it is being rolled already" in site.roll("web", *asked, status=1)
    site.open_gate("v2")
    rolling.ends()
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_it_is_made_again_by_the_next_listener(make_site: MakeSite) -> None:
    site = _site(make_site, IN_PLACE)
    site.deploy("v2", boot="gate")
    before, beside = site.workers("web"), _processes(site)
    rolling = site.ctl_start("rollrestart", "web")
    (preflight,) = wait_until(lambda: _preflights(site), 30, "the preflight runs")
    listener = site.listener_pid
    replacement = site.restart_listener()
    # It begins by stopping the one that the last listener left.
    wait_until(lambda: preflight not in _preflights(site), 30, "the first preflight has ended")
    wait_until(lambda: _preflights(site), 30, "another preflight runs")
    assert site.workers("web").ready == before.ready
    site.open_gate("v2")
    assert rolling.ends().count("preflight: the application loads (") == 1
    after = site.wait_ready("web", WORKERS)
    assert not after.children & before.children
    gone = before.children | {listener}
    _wait_processes(site, beside - gone | after.children | {replacement})


def _site(make_site: MakeSite, roll: dict[str, str], **values: Any) -> Site:
    return make_site(Program(workers=WORKERS, boot_secs=0.3, roll=roll, **values))


def _untouched(site: Site) -> str:
    """Roll what is not to be rolled; no worker, and no process at all, is another afterwards."""
    forks, beside = site.boots("web"), _processes(site)
    with site.untouched():
        output = site.roll("web", status=1)
    assert "preflight: " in output
    assert site.boots("web") == forks
    _wait_processes(site, beside)
    return output


def _processes(site: Site) -> frozenset[int]:
    return frozenset(process.pid for process in stamped(str(site.folder)))


def _wait_processes(site: Site, pids: frozenset[int]) -> None:
    wait_until(lambda: _processes(site) == pids, 15, "no process is left over")


def _preflights(site: Site) -> list[psutil.Process]:
    found = []
    for process in stamped(str(site.folder)):
        try:
            if process.environ().get("SUPERVISOR_ROLL_PREFLIGHT"):
                found.append(process)
        except psutil.Error:
            continue
    return found
