"""At no moment of a rollout are fewer workers ready, or more on their way, than was promised."""

from __future__ import annotations

import re
from collections.abc import Callable

import psutil
import pytest

from tests.harness import Program, Sample, Site

WORKERS = 4
IN_PLACE = ("--max-surge", "0", "--max-unavailable", "1")


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    site = make_site(Program(workers=WORKERS, boot_secs=0.4))
    site.add_release("v2")
    site.deploy("v2")
    return site


def test_with_a_surge_all_stay_ready_and_one_boots_at_a_time(site: Site) -> None:
    before = site.workers("web")
    with site.observe("web") as seen:
        ran = site.ctl("rollrestart", "web")
    assert ran.status == 0, ran.output
    assert "never fewer than 4 ready" in ran.output
    assert seen.min_ready == WORKERS
    assert seen.max_booting <= 1
    assert site.boots("web") == 2 * WORKERS
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_in_place_one_is_missing_at_a_time_and_none_is_added(site: Site) -> None:
    before = site.workers("web")
    with site.observe("web") as seen:
        ran = site.ctl("rollrestart", *IN_PLACE, "web")
    assert ran.status == 0, ran.output
    assert "never fewer than 3 ready" in ran.output
    assert seen.min_ready >= WORKERS - 1
    assert seen.max_children <= WORKERS
    assert site.boots("web") == 2 * WORKERS
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_in_place_the_oldest_goes_first_and_waits_for_its_replacement(site: Site) -> None:
    oldest_first = _by_age(site.workers("web"))
    with site.observe("web", every_secs=0.01) as seen:
        ran = site.ctl("rollrestart", *IN_PLACE, "web")
    assert ran.status == 0, ran.output
    told = re.findall(r"worker (\d+) -> (\d+)", ran.output)
    assert [int(old) for old, _ in told] == oldest_first
    # When one has gone, those that replace the ones before it serve already.
    for sample in seen.samples:
        gone = [old for old in oldest_first if old not in sample.children]
        assert gone == oldest_first[: len(gone)]
        replacements = {int(new) for _, new in told[: max(0, len(gone) - 1)]}
        assert replacements <= sample.ready


def test_in_place_with_load_loses_no_request(site: Site) -> None:
    with site.load("web") as load:
        ran = site.ctl("rollrestart", *IN_PLACE, "web")
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert not summary.failed, summary


def test_a_percentage_of_surge_boots_that_many_at_once(make_site: Callable[..., Site]) -> None:
    site = make_site(Program(workers=WORKERS, roll={"max_surge": "50%"}))
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    with site.observe("web") as seen:
        roll = site.ctl_start("rollrestart", "web")
        assert "surge 2" in roll.wait_says("rolling 4 workers")
        site.wait_booting("web", 2)
        site.open_gate("v2")
        ran = roll.wait()
    assert ran.status == 0, ran.output
    assert seen.min_ready == WORKERS
    assert seen.max_booting <= 2


def test_a_percentage_of_unavailability_lets_that_many_be_missing(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(Program(workers=WORKERS))
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    with site.observe("web") as seen:
        roll = site.ctl_start("rollrestart", "--max-surge=0", "--max-unavailable=50%", "web")
        assert len(site.wait_booting("web", 2).ready) == WORKERS / 2
        site.open_gate("v2")
        ran = roll.wait()
    assert ran.status == 0, ran.output
    assert seen.min_ready >= WORKERS / 2
    assert seen.max_children <= WORKERS


def _by_age(sample: Sample) -> list[int]:
    return sorted(sample.children, key=lambda pid: (psutil.Process(pid).create_time(), pid))
