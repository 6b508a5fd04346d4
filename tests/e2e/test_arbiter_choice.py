"""Which strategy ``auto`` takes and why it says that; what a dry run says of each changed key, and
that it touches nothing; what of a change comes into force without any other arbiter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.harness import MakeSite, Program, Site

PROGRAM = Program(workers=2, boot_secs=0.2)
UNCHANGED = [[], [], []]
ONE_CHANGED = [[], ["web"], []]
CHANGED = {"COLOUR": "green"}


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(PROGRAM)


def _rolls_workers(site: Site, *options: str) -> str:
    with site.unharmed(replaced=2):
        output = site.roll("web", *options)
    assert "web: rolling 2 workers" in output
    assert "successor" not in output
    return output


def _replaces_arbiter(site: Site, *options: str) -> str:
    with site.unharmed(replaced=2, same_arbiter=False):
        output = site.roll("web", *options)
    site.assert_applied("web")
    return output


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
    assert site.reread() == ONE_CHANGED
    said = _rolls_workers(site)
    assert "now in effect: priority, startretries, stopsignal, stopwaitsecs" in said
    assert site.reread() == UNCHANGED
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
    assert site.reread() == ONE_CHANGED
    assert "(its configuration has changed: environment)" in _replaces_arbiter(site)
    site.write(replace(PROGRAM, environment=CHANGED, conf="timeout = 77"))
    assert site.reread() == UNCHANGED
    assert f"its configuration has changed: {site.folder}/web.conf.py" in _replaces_arbiter(site)
    _rolls_workers(site)
    assert "(as asked for)" in _replaces_arbiter(site, "--strategy=arbiter")


def test_a_dry_run_classifies_each_key_and_touches_nothing(site: Site) -> None:
    forks = site.boots("web")
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
    with site.untouched():
        output = site.roll("web", "--dry-run")
    assert "would replace the arbiter and its 2 workers" in output
    told = {
        line.replace("changes", "", 1).split()[0]: " ".join(line.split()[-4:])
        for line in output.splitlines()
        if "rollout" in line or "at once" in line
    }
    conf = f"{site.folder}/web.conf.py"
    needs_arbiter = {"command", "directory", "environment", "stdout_logfile", "umask", conf}
    assert {key for key, how in told.items() if how == "needs an arbiter rollout"} >= needs_arbiter
    assert {key for key, how in told.items() if how.endswith("applies at once")} == {
        "autorestart",
        "stopsignal",
    }
    assert "nothing was " in output
    assert site.boots("web") == forks
    assert not (site.folder / "logs" / "anew.log").exists()
    assert site.reread() == ONE_CHANGED
