"""Where two full sets of workers must not run, the new arbiter grows as the old one shrinks, and
back again if the rollout turns; with a canary nothing else starts before it has proved itself."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.harness import (
    Command,
    Load,
    Program,
    Sample,
    Site,
    WorkerTable,
    supervisor_venv,
    wait_until,
)

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
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    site.write(replace(PROGRAM, environment=CHANGED))
    return site.ctl_start("rollrestart", *options, "web")


def _goes_on(load: Load) -> None:
    answered = len(load.so_far().requests)
    wait_until(lambda: len(load.so_far().requests) > answered + 20, 15, "requests go on")


def _only_the_new_one(site: Site, old: int) -> None:
    new = site.pid("web")
    assert new != old
    assert site.arbiters("web") == [new]
    assert len(site.wait_ready("web", WORKERS).ready) == WORKERS
    assert site.rpc.supervisor.reloadConfig() == [[[], [], []]]


@pytest.mark.parametrize("supervisor", [None, "4.2.5"])
def test_one_more_at_a_time(make_site: Callable[..., Site], supervisor: str | None) -> None:
    options = {"supervisor": supervisor_venv(supervisor)} if supervisor else {}
    site = make_site(PROGRAM, **options)
    old = site.pid("web")
    with site.load("web") as load, site.observe_all("web") as seen:
        roll = _gated(site, ONE_MORE)
        for done in range(WORKERS):
            every = _reached(site, old, WORKERS - done, ready=done, booting=1)
            assert len(every.children) == WORKERS + 1
            site.open_gate("v2", boots=1)
        ran = roll.wait()
        _goes_on(load)
        summary = load.stop()
    assert ran.status == 0, ran.output
    places = [ran.output.index(f"{done + 1}/{WORKERS}  worker") for done in range(WORKERS)]
    assert places == sorted(places)
    assert f"never fewer than {WORKERS} ready" in ran.output
    assert not summary.failed, summary
    assert seen.min_ready >= WORKERS
    assert seen.max_booting == 1
    # One that was asked to leave may still finish its request.
    assert seen.max_children <= WORKERS + 2
    _only_the_new_one(site, old)


def test_in_place_none_is_added_but_for_the_last(make_site: Callable[..., Site]) -> None:
    site = make_site(PROGRAM)
    old = site.pid("web")
    with site.load("web") as load, site.observe_all("web") as seen:
        roll = _gated(site, *IN_PLACE)
        for done in range(2):
            every = _reached(site, old, WORKERS - 1 - done, ready=done, booting=1)
            assert len(every.children) == WORKERS
            site.open_gate("v2", boots=1)
        # An arbiter has at least one worker, so the last two start beside the last old one.
        _reached(site, old, 1, ready=2, booting=2)
        site.open_gate("v2")
        ran = roll.wait()
        _goes_on(load)
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert not summary.failed, summary
    assert seen.min_ready >= WORKERS - 1
    assert seen.max_children <= WORKERS + 2
    _only_the_new_one(site, old)


@pytest.mark.parametrize("options", [(ONE_MORE,), IN_PLACE], ids=["one more", "in place"])
def test_a_late_failure_gives_the_old_arbiter_its_workers_back(
    make_site: Callable[..., Site], options: tuple[str, ...]
) -> None:
    site = make_site(PROGRAM)
    old, before = site.pid("web"), site.workers("web")
    reread = site.rpc.supervisor.reloadConfig()
    site.write(replace(PROGRAM, conf=PROGRAM.conf + THIRD_FAILS))
    with site.load("web") as load, site.observe_all("web") as seen:
        ran = site.ctl("rollrestart", *options, "web")
        after = site.wait_ready("web", WORKERS)
        _goes_on(load)
        summary = load.stop()
    assert ran.status == 1, ran.output
    assert "2/4  worker" in ran.output
    assert "4/4  worker" not in ran.output  # the fourth may be ready before the third has failed
    assert "failed to boot: RuntimeError: the third is not to be" in ran.output
    assert f"arbiter {old} serves on with {WORKERS} workers" in ran.output
    assert not summary.failed, summary
    assert seen.min_ready >= (WORKERS if options == (ONE_MORE,) else WORKERS - 1)
    assert seen.max_booting <= 2
    assert site.pid("web") == old
    assert site.arbiters("web") == [old]
    assert after.children & before.children, "those that were not asked to leave are still there"
    assert site.rpc.supervisor.reloadConfig() == reread
    # It has as many as before in its own view as well, and can be rolled.
    site.write(replace(PROGRAM, environment=CHANGED))
    ran = site.ctl("rollrestart", *options, "web")
    assert ran.status == 0, ran.output
    _only_the_new_one(site, old)


def test_where_the_release_is_bad_for_the_old_one_too_it_is_said(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(PROGRAM)
    old = site.pid("web")
    site.add_release("bad", boot="raise")
    with site.load("web") as load:
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
        ran = roll.wait()
        _goes_on(load)
        summary = load.stop()
    assert ran.status == 1, ran.output
    assert "ImportError: release bad lacks a module" in ran.output
    # The second may not have gone as far as the gate when the other release was deployed.
    assert re.search("the old arbiter is left with [23] of 4 workers: a worker of", ran.output)
    assert not summary.failed, summary
    assert site.arbiters("web") == [old]
    # A new arbiter has as many as are configured.
    site.deploy("v1")
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 0, ran.output
    _only_the_new_one(site, old)


def test_a_canary_starts_alone_and_the_others_after_it(make_site: Callable[..., Site]) -> None:
    site = make_site(PROGRAM)
    old, before = site.pid("web"), site.workers("web")
    site.write(replace(PROGRAM, environment=CHANGED))
    with site.observe("web") as seen, site.observe_all("web") as both:
        roll = site.ctl_start("rollrestart", "--canary=1", "--min-ready=600", "web")
        ready = wait_until(
            lambda: site.all_workers("web").ready - before.ready, 15, "the canary is ready"
        )
        (canary,) = ready
        wait_until(lambda: site.rollout("web")["ready"] == WORKERS + 1, 15, "that is known")
        os.kill(canary, signal.SIGKILL)
        ran = roll.wait()
    assert ran.status == 1, ran.output
    assert f"worker {canary} of the successor exited before it was available" in ran.output
    assert "canary 1 for 600 s" in ran.output
    assert {sample.ready for sample in seen.samples} == {before.ready}
    assert both.max_children == WORKERS + 1
    with site.load("web") as load:
        ran = site.ctl("rollrestart", "--canary=1", "--min-ready=0.5", "web")
        _goes_on(load)
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert "4/4  worker" in ran.output
    assert not summary.failed, summary
    _only_the_new_one(site, old)
