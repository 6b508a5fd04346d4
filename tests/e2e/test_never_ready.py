"""A release that never becomes ready fails its rollout in time, and its worker is ended even if
it hears no TERM; what served keeps serving, and the next rollout finds nothing in its way."""

from __future__ import annotations

import psutil
import pytest

from tests.harness import MakeSite, Program, Site, patience, wait_until

WORKERS = 3
IN_PLACE = ("--max-surge=0", "--max-unavailable=1")


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(Program(workers=WORKERS)).deploy("hanging", boot="hang")


def test_a_hanging_import_times_out_and_is_killed_and_the_mended_release_rolls(site: Site) -> None:
    with site.unharmed(replaced=WORKERS) as (_, _, before):
        roll = site.ctl_start("rollrestart", "--ready-timeout=2", "web")
        (hanging,) = site.wait_booting("web", 1).booting
        roll.ends(1, f"worker {hanging} was not ready within 2 s", "sent it KILL")
        assert site.wait_ready("web", WORKERS).children == before.children
        assert not psutil.pid_exists(hanging)
        assert site.boots("web") == WORKERS + 1
        site.deploy("mended")
        site.roll("web")


def test_in_place_too_the_mended_release_rolls_after_it(site: Site) -> None:
    site.add_release("mended")
    with site.unharmed(least_ready=WORKERS - 1):
        roll = site.ctl_start("rollrestart", *IN_PLACE, f"--ready-timeout={patience():.1f}", "web")
        wait_until(lambda: "hangs while it boots" in site.log("web"), 30, "the release hangs")
        assert len(site.workers("web").ready) == WORKERS - 1
        # Before the worker that hangs is ended: its replacement must not hang as well.
        site.deploy("mended")
        roll.ends(1)
        site.roll("web", *IN_PLACE)


def test_in_place_a_replacement_that_hangs_is_in_the_mended_releases_way_for_a_while_only(
    site: Site,
) -> None:
    site.roll("web", *IN_PLACE, "--ready-timeout=2", status=1)
    site.wait_booting("web", 1)
    site.deploy("mended")
    with site.unharmed(least_ready=WORKERS - 1):  # its worker that boots counts as one of them
        site.roll("web", *IN_PLACE, f"--ready-timeout={patience():.1f}")
