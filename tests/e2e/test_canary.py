"""With a canary nothing is retired before the first fresh worker has been ready for
min_ready_secs, and the others follow without waiting; a canary that dies costs the old nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.harness import MakeSite, Observer, Program, Sample, patience, wait_until

WORKERS = 4
HELD_SECS = 4.0


def test_the_first_is_held_and_the_others_follow(make_site: MakeSite) -> None:
    roll = {"canary": "1", "min_ready_secs": f"{HELD_SECS:g}"}
    site = make_site(Program(workers=WORKERS, boot_secs=0.3, roll=roll)).deploy("v2")
    with site.unharmed(replaced=WORKERS) as (_, seen, before):
        assert f"canary 1 for {HELD_SECS:g} s" in site.roll("web")
    ready = _first(seen, lambda sample: bool(sample.ready - before.children))
    (canary,) = ready.ready - before.children
    # One that was asked to go may still be there when the next one already boots.
    went_on = _first(
        seen,
        lambda sample: (
            not before.children <= sample.ready or not sample.children <= before.children | {canary}
        ),
    )
    # What the observer noticed late makes this shorter.
    assert went_on.at - ready.at + seen.longest_gap_secs >= HELD_SECS
    last = _first(seen, lambda sample: not before.children & sample.children)
    # Had they been held as well, this many times more would have passed.
    assert last.at - went_on.at < (WORKERS - 1) * HELD_SECS * patience() / 2


def test_a_canary_of_a_share_in_place(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS, boot_secs=0.3)).deploy("v2")
    options = ("--max-surge=0", "--max-unavailable=1", "--canary=25%", f"--min-ready={HELD_SECS:g}")
    with site.unharmed(least_ready=WORKERS - 1, replaced=WORKERS) as (_, seen, before):
        site.roll("web", *options)
    ready = _first(seen, lambda sample: bool(sample.ready - before.children))
    second = _first(seen, lambda sample: len(before.children & sample.children) < WORKERS - 1)
    assert second.at - ready.at + seen.longest_gap_secs >= HELD_SECS
    assert seen.max_children <= WORKERS


@pytest.mark.parametrize("late", [False, True], ids=["heard at once", "heard late"])
def test_a_canary_that_is_killed_fails_the_rollout(make_site: MakeSite, late: bool) -> None:
    site = make_site(Program(workers=2, roll={"canary": "1", "min_ready_secs": "600"})).deploy("v2")
    before, arbiter = site.workers("web"), site.pid("web")
    with site.observe("web") as seen:  # without load: the canary's own request would fail
        roll = site.ctl_start("rollrestart", "web")
        (canary,) = site.wait_ready("web", 3).children - before.children
        wait_until(lambda: site.rollout("web")["ready"] == 3, 15, "the listener knows")
        if late:
            os.kill(site.listener_pid, signal.SIGSTOP)
        os.kill(canary, signal.SIGKILL)
        if late:
            wait_until(lambda: "SIGKILL" in site.log("web"), 15, "its arbiter has reaped it")
            os.kill(site.listener_pid, signal.SIGCONT)
        roll.ends(1, f"worker {canary} exited before it was available", "2 outdated, 0 fresh")
    assert site.wait_ready("web", 2).children == before.children
    assert all(before.children <= sample.ready for sample in seen.samples)
    assert site.boots("web") == 3
    assert site.pid("web") == arbiter
    with site.unharmed(replaced=0) as (load, _, _):
        wait_until(lambda: load.answered_by("v1") > 25, 15, "the old ones serve on")
    assert load.so_far().answered.keys() == {"v1"}


def _first(seen: Observer, shows: Callable[[Sample], bool]) -> Sample:
    return next(sample for sample in seen.samples if shows(sample))
