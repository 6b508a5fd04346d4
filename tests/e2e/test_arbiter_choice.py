"""Which strategy ``auto`` takes and why it says that; what a dry run says of each changed key, and
that it touches nothing; what of a change comes into force without any other arbiter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.harness import Program, Ran, Site, wait_until

PROGRAM = Program(workers=2, boot_secs=0.2)
UNCHANGED = [[[], [], []]]
CHANGED = {"COLOUR": "green"}


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(PROGRAM)


def _rolls_workers(site: Site, *options: str) -> str:
    arbiter, before = site.pid("web"), site.workers("web")
    ran = _rolled(site, *options)
    assert "web: rolling 2 workers" in ran.output
    assert "successor" not in ran.output
    assert not site.wait_ready("web", 2).children & before.children
    assert site.pid("web") == arbiter
    return ran.output


def _replaces_arbiter(site: Site, *options: str) -> str:
    arbiter, before = site.pid("web"), site.workers("web")
    ran = _rolled(site, *options)
    assert not site.wait_ready("web", 2).children & before.children
    assert site.arbiters("web") == [site.pid("web")] != [arbiter]
    assert site.rpc.supervisor.reloadConfig() == UNCHANGED
    site.wait_state("web", "RUNNING")
    return ran.output


def _rolled(site: Site, *options: str) -> Ran:
    with site.load("web", rate=30) as load:
        ran = site.ctl("rollrestart", *options, "web")
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert not summary.failed, summary
    return ran


def test_only_what_supervisord_itself_heeds_has_changed(site: Site) -> None:
    assert "warning" not in _rolls_workers(site)
    site.write(
        replace(
            PROGRAM,
            section={
                "stopsignal": "QUIT",
                "stopwaitsecs": "30",
                "priority": "5",
                "startretries": "7",
            },
        )
    )
    assert site.rpc.supervisor.reloadConfig() == [[[], ["web"], []]]
    said = _rolls_workers(site)
    assert "now in effect: priority, startretries, stopsignal, stopwaitsecs" in said
    assert site.rpc.supervisor.reloadConfig() == UNCHANGED
    assert "web: stopped" in site.ctl("stop", "web").output
    assert "Handling signal: quit" in site.log("web")


def test_its_section_or_its_gunicorns_file_has_changed(site: Site) -> None:
    site.write(replace(PROGRAM, environment=CHANGED))
    # What was asked for is what is done, and what it leaves undone is said.
    said = _rolls_workers(site, "--strategy=workers")
    assert (
        "warning: its configuration has changed, which replacing workers does not apply: "
        "environment"
    ) in said
    assert site.rpc.supervisor.reloadConfig() == [[[], ["web"], []]]
    assert "(its configuration has changed: environment)" in _replaces_arbiter(site)
    site.write(replace(PROGRAM, environment=CHANGED, conf="timeout = 77"))
    assert site.rpc.supervisor.reloadConfig() == UNCHANGED
    assert f"its configuration has changed: {site.folder}/web.conf.py" in _replaces_arbiter(site)
    _rolls_workers(site)
    assert "(as asked for)" in _replaces_arbiter(site, "--strategy=arbiter")


def test_of_a_preloaded_application_there_is_one_boot_for_all_workers(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(replace(PROGRAM, workers=4, conf="preload_app = True"))
    old, before = site.pid("web"), site.workers("web")
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    site.open_gate("v2", boots=1)
    with site.load("web", rate=30) as load:
        ran = site.ctl("rollrestart", "web")
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert "(it has preload_app)" in ran.output
    assert "4/4  worker" in ran.output
    assert not summary.failed, summary
    assert not site.wait_ready("web", 4).children & before.children
    assert site.pid("web") != old


def test_an_arbiter_that_has_imported_the_application_is_replaced(
    make_site: Callable[..., Site],
) -> None:
    # As a configuration does that reads its settings from there.
    stale = 'import sys; sys.path.insert(0, "{}"); import release'
    site = make_site(PROGRAM, start=False)
    site.write(replace(PROGRAM, conf=stale.format(site.current)))
    site.start()
    site.add_release("v2")
    site.deploy("v2")
    said = _replaces_arbiter(site)
    assert "its arbiter has imported modules of the application: release" in said
    with site.load("web", rate=30) as load:
        wait_until(lambda: load.answered_by("v2") > 5, 15, "the new release answers")
        assert load.stop().answered.keys() == {"v2"}


def test_a_dry_run_classifies_each_key_and_touches_nothing(site: Site) -> None:
    before, arbiter, forks = site.workers("web"), site.pid("web"), site.boots("web")
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    site.write(
        replace(
            PROGRAM,
            environment=CHANGED,
            app="--threads 2 plain:app",
            conf="timeout = 77",
            section={
                "directory": str(elsewhere),
                "umask": "027",
                "stopsignal": "QUIT",
                "stdout_logfile": f"{site.folder}/logs/anew.log",
                "autorestart": "true",
            },
        )
    )
    with site.load("web") as load, site.observe_all("web") as seen:
        ran = site.ctl("rollrestart", "--dry-run", "web")
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert "would replace the arbiter and its 2 workers" in ran.output
    told = {
        line.replace("changes", "", 1).split()[0]: " ".join(line.split()[-4:])
        for line in ran.output.splitlines()
        if "rollout" in line or "at once" in line
    }
    conf = f"{site.folder}/web.conf.py"
    needs_arbiter = {"command", "directory", "environment", "stdout_logfile", "umask", conf}
    assert {key for key, how in told.items() if how == "needs an arbiter rollout"} >= needs_arbiter
    assert {key for key, how in told.items() if how.endswith("applies at once")} == {
        "autorestart",
        "stopsignal",
    }
    assert "nothing was " in ran.output
    assert not summary.failed, summary
    assert {sample.children for sample in seen.samples} == {before.children}
    assert (site.pid("web"), site.boots("web")) == (arbiter, forks)
    assert not (site.folder / "logs" / "anew.log").exists()
    assert site.rpc.supervisor.reloadConfig() == [[[], ["web"], []]]
