"""A release that never becomes ready fails its rollout in time, and its worker is ended even if
it hears no TERM; what served keeps serving, and the next rollout finds nothing in its way."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from tests.harness import Program, Site, patience, unharmed, wait_until

WORKERS = 3


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    site = make_site(Program(workers=WORKERS))
    site.add_release("hanging", boot="hang")
    site.deploy("hanging")
    return site


def test_a_hanging_import_times_out_and_is_killed(site: Site) -> None:
    with unharmed(site, replaced=0):
        roll = site.ctl_start("rollrestart", "--ready-timeout=2", "web")
        (hanging,) = site.wait_booting("web", 1).booting
        ran = roll.wait()
    assert ran.status == 1, ran.output
    assert f"FAILING: worker {hanging} was not ready within 2 s" in ran.output
    assert f"worker {hanging} has not left after" in ran.output
    assert "sent it KILL" in ran.output
    assert not psutil.pid_exists(hanging)
    assert site.boots("web") == WORKERS + 1


def test_the_mended_release_rolls_after_it(site: Site) -> None:
    assert site.ctl("rollrestart", "--ready-timeout=1", "web").status == 1
    site.add_release("mended")
    site.deploy("mended")
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 0, ran.output
    site.wait_ready("web", WORKERS)


def test_in_place_too_the_mended_release_rolls_after_it(site: Site) -> None:
    in_place = ("rollrestart", "--max-surge=0", "--max-unavailable=1", "web")
    site.add_release("mended")
    with unharmed(site, least_ready=WORKERS - 1):
        roll = site.ctl_start(*in_place, f"--ready-timeout={patience():.1f}")
        wait_until(lambda: "hangs while it boots" in site.log("web"), 30, "the release hangs")
        assert len(site.workers("web").ready) == WORKERS - 1
        # Before the worker that hangs is ended: its replacement must not hang as well.
        site.deploy("mended")
        ran = roll.wait()
        assert ran.status == 1, ran.output
        ran = site.ctl(*in_place)
        assert ran.status == 0, ran.output


def test_in_place_a_replacement_that_hangs_is_in_the_mended_releases_way_for_a_while_only(
    site: Site,
) -> None:
    in_place = ("rollrestart", "--max-surge=0", "--max-unavailable=1")
    assert site.ctl(*in_place, "--ready-timeout=2", "web").status == 1
    site.wait_booting("web", 1)
    site.add_release("mended")
    site.deploy("mended")
    with unharmed(site, least_ready=WORKERS - 1):
        ran = site.ctl(*in_place, f"--ready-timeout={patience():.1f}", "web")
        assert ran.status == 0, ran.output
    site.wait_ready("web", WORKERS)
