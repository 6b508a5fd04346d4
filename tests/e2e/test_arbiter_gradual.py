"""Where two full sets of workers must not run, the new arbiter grows as the old one shrinks, and
back again if the rollout turns; with a canary nothing else starts before it has proved itself."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace

import pytest

from tests.harness import Command, MakeSite, Program, Sample, Site, WorkerTable, steady, wait_until

WORKERS = 4
PROGRAM = Program(workers=WORKERS, conf="graceful_timeout = 5")
#: The third worker of an arbiter that has read this cannot boot.
THIRD_FAILS = """
def post_worker_init(worker):
    if worker.age == 3:
        raise RuntimeError("the third is not to be")
"""
ONE_MORE = "--max-surge=1"
IN_PLACE = ("--max-surge=0", "--max-unavailable=1")
CHANGED = {"COLOUR": "green"}


def _reached(site: Site, old: int, old_workers: int, ready: int, booting: int) -> Sample:
    """Wait until the old arbiter has so many workers, and its successor so many besides."""

    def settled() -> Sample | None:
        olds, every = WorkerTable(old).sample(), site.all_workers("web")
        alike = (
            len(olds.ready) == len(olds.children) == old_workers
            and len(every.ready) == old_workers + ready
            and len(every.booting) == booting
        )
        return every if alike else None

    return wait_until(settled, 15, f"{old_workers} old, {ready} new ready, {booting} booting")


def _gated(site: Site, *options: str) -> Command:
    site.deploy("v2", boot="gate")
    site.write(replace(PROGRAM, environment=CHANGED))
    return site.ctl_start("rollrestart", *options, "web")


@pytest.mark.parametrize("supervisor", [None, "4.2.5"])
def test_one_more_at_a_time(make_site: MakeSite, supervisor: str | None) -> None:
    site = make_site(PROGRAM, supervisor=supervisor)
    old = site.pid("web")
    with site.unharmed(replaced=WORKERS, same_arbiter=False) as meanwhile:
        roll = _gated(site, ONE_MORE)
        for done in range(WORKERS):
            every = _reached(site, old, WORKERS - done, ready=done, booting=1)
            assert len(every.children) == WORKERS + 1
            site.open_gate("v2", boots=1)
        output = roll.ends(0, f"never fewer than {WORKERS} ready")
    places = [output.index(f"{done + 1}/{WORKERS}  worker") for done in range(WORKERS)]
    assert places == sorted(places)
    assert meanwhile.seen.max_booting == 1
    # One that was asked to leave may still finish its request.
    assert meanwhile.seen.max_children <= WORKERS + 2
    site.assert_applied("web")


def test_in_place_none_is_added_but_for_the_last(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    old = site.pid("web")
    fewer = WORKERS - 1
    with site.unharmed(least_ready=fewer, replaced=WORKERS, same_arbiter=False) as meanwhile:
        roll = _gated(site, *IN_PLACE)
        for done in range(2):
            every = _reached(site, old, WORKERS - 1 - done, ready=done, booting=1)
            assert len(every.children) == WORKERS
            site.open_gate("v2", boots=1)
        # An arbiter has at least one worker, so the last two start beside the last old one.
        _reached(site, old, 1, ready=2, booting=2)
        site.open_gate("v2")
        roll.ends()
    assert meanwhile.seen.max_children <= WORKERS + 2
    site.assert_applied("web")


@pytest.mark.parametrize("options", [(ONE_MORE,), IN_PLACE], ids=["one more", "in place"])
def test_a_late_failure_gives_the_old_arbiter_its_workers_back(
    make_site: MakeSite, options: tuple[str, ...]
) -> None:
    site = make_site(PROGRAM)
    old, reread = site.pid("web"), site.reread()
    least = WORKERS if options == (ONE_MORE,) else WORKERS - 1
    site.write(replace(PROGRAM, conf=PROGRAM.conf + THIRD_FAILS))
    with site.observe_all("web") as seen, site.unharmed(least_ready=0) as meanwhile:
        output = site.roll("web", *options, status=1)
        after = site.wait_ready("web", WORKERS)
    assert "2/4  worker" in output
    assert "4/4  worker" not in output  # the fourth may be ready before the third has failed
    assert "failed to boot: RuntimeError: the third is not to be" in output
    assert seen.min_ready >= least
    assert seen.max_booting <= 2
    assert site.arbiters("web") == [old]
    assert after.children & meanwhile.before.children, "those not asked to leave are still there"
    assert site.reread() == reread
    # It has as many as before in its own view as well, and can be rolled.
    site.write(replace(PROGRAM, environment=CHANGED))
    site.roll("web", *options)
    site.assert_applied("web")
    assert site.pid("web") != old


def test_where_the_release_is_bad_for_the_old_one_too_it_is_said(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    old = site.pid("web")
    site.add_release("bad", boot="raise")
    with steady(load := site.load("web")):
        roll = _gated(site, ONE_MORE)
        _reached(site, old, WORKERS, ready=0, booting=1)
        site.open_gate("v2", boots=1)
        _reached(site, old, WORKERS - 1, ready=1, booting=1)
        site.deploy("bad")
        site.open_gate("v2", boots=1)
        roll.wait_says("the old arbiter does not get its workers back")
        assert len(site.arbiters("web")) == 2, "what serves in their place is kept"
        assert len(site.all_workers("web").ready) >= WORKERS
        assert site.ctl("rollabort", "web").status == 0
        output = roll.ends(1, "ImportError: release bad lacks a module")
    # The second may not have gone as far as the gate when the other release was deployed.
    assert re.search("the old arbiter is left with [23] of 4 workers: a worker of", output)
    assert not load.so_far().failed, load.so_far()
    assert site.arbiters("web") == [old]
    # A new arbiter has as many as are configured.
    site.deploy("v1")
    site.roll("web")
    site.wait_ready("web", WORKERS)
    site.assert_applied("web")
    assert site.pid("web") != old


def test_a_canary_starts_alone_and_the_others_after_it(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    before = site.workers("web")
    site.write(replace(PROGRAM, environment=CHANGED))
    # Without load: the canary's own request would fail.
    with site.observe("web") as seen, site.observe_all("web") as both:
        roll = site.ctl_start("rollrestart", "--canary=1", "--min-ready=600", "web")
        (canary,) = wait_until(
            lambda: site.all_workers("web").ready - before.ready, 15, "the canary is ready"
        )
        wait_until(lambda: site.rollout("web")["ready"] == WORKERS + 1, 15, "that is known")
        os.kill(canary, signal.SIGKILL)
        roll.ends(1, f"worker {canary} of the successor exited before it was available")
    assert {sample.ready for sample in seen.samples} == {before.ready}
    site.assert_alone("web")
    assert both.max_children == WORKERS + 1
    with site.unharmed(replaced=WORKERS, same_arbiter=False):
        site.roll("web", "--canary=1", "--min-ready=0.5")
    site.assert_applied("web")
