"""A release that cannot boot takes nothing down: it costs one fork and fails the rollout, which
shows why; the same arbiter and all its old workers serve on. A first start with it still fails
as Gunicorn fails by itself, so that supervisord sees it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import MakeSite, Program, wait_until

WORKERS = 2

# How a release fails to boot, and what supervisorctl is to say of it.
FAILURES = {
    "raise": ("ImportError: release raise lacks a module", "release.py", "in _boot"),
    "syntax": ("SyntaxError: invalid syntax", "views.py", "def index(:"),
    "exit 0": ("SystemExit: 0", "release.py", "sys.exit("),
    "exit 3": ("SystemExit: 3", "release.py", "sys.exit("),
    "_exit 3": ("exited while it booted",),
    "kill": ("exited while it booted",),
}


@pytest.mark.parametrize("version", [None, "20.1.0"])
def test_no_bad_release_takes_a_good_one_down(make_site: MakeSite, version: str | None) -> None:
    site = make_site(_program(version))
    with site.unharmed(replaced=0) as meanwhile:
        for boot, said in FAILURES.items():
            forks = site.boots("web")
            site.deploy(boot, boot=boot)
            output = site.roll("web", status=1)
            for text in ("FAILING", "2 outdated, 0 fresh", *said):
                assert text in output, f"{boot}: {output}"
            assert site.wait_ready("web", WORKERS).children == meanwhile.before.children, boot
            assert site.boots("web") == forks + 1, boot
    assert meanwhile.load.so_far().answered.keys() == {"v1"}


def test_in_place_a_bad_release_costs_one_worker_until_it_is_mended(make_site: MakeSite) -> None:
    site = make_site(_program(None))
    in_place = ("--max-surge=0", "--max-unavailable=1")
    with site.unharmed(least_ready=WORKERS - 1, replaced=WORKERS):
        site.deploy("bad", boot="raise")
        assert "ImportError: release bad lacks a module" in site.roll("web", *in_place, status=1)
        assert len(site.workers("web").ready) == WORKERS - 1
        site.deploy("mended")
        site.wait_ready("web", WORKERS)
        site.roll("web", *in_place)


@pytest.mark.parametrize("version", [None, "20.1.0"])
def test_a_first_start_fails_as_gunicorn_fails_by_itself(
    make_site: MakeSite, version: str | None
) -> None:
    # One worker: where two fail at once, Gunicorn itself exits 1 with a traceback of its own.
    once = {"startretries": "0", "autorestart": "false"}
    site = make_site(_program(version, workers=1, section=once), start=False)
    site.deploy("bad", boot="raise")
    site.start_supervisord()
    site.start_programs()
    wait_until(lambda: "exited: web" in site.log("supervisord"), 30, "supervisord sees it")
    assert "exited: web (exit status 3; not expected)" in site.log("supervisord")
    wait_until(lambda: site.state("web") in ("FATAL", "EXITED"), 30, "it is given up")
    assert "Worker failed to boot" in site.log("web")
    site.deploy("v1")
    assert site.ctl("start", "web").status == 0
    site.wait_ready("web", 1)


def _program(version: str | None, **values: Any) -> Program:
    return Program(**{"workers": WORKERS, "boot_secs": 0.3, "gunicorn": version, **values})
