"""At no moment of a rollout are fewer workers ready, or more on their way, than was promised."""

from __future__ import annotations

import os
import re
import time

import psutil
import pytest

from tests.harness import MakeSite, Program, Sample, Site

WORKERS = 4
IN_PLACE = ("--max-surge", "0", "--max-unavailable", "1")


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(Program(workers=WORKERS, boot_secs=0.4)).deploy("v2")


def test_with_a_surge_all_stay_ready_and_one_boots_at_a_time(site: Site) -> None:
    with site.unharmed(replaced=WORKERS) as (_, seen, _):
        assert "never fewer than 4 ready" in site.roll("web")
    assert seen.max_booting <= 1
    assert site.boots("web") == 2 * WORKERS


def test_in_place_one_is_missing_at_a_time_and_none_is_added(site: Site) -> None:
    with site.unharmed(least_ready=WORKERS - 1, replaced=WORKERS) as (_, seen, _):
        assert "never fewer than 3 ready" in site.roll("web", *IN_PLACE)
    assert seen.max_children <= WORKERS
    assert site.boots("web") == 2 * WORKERS


def test_in_place_the_oldest_goes_first_and_waits_for_its_replacement(site: Site) -> None:
    oldest_first = _by_age(site.workers("web"))
    with site.observe("web", every_secs=0.01) as seen:
        output = site.roll("web", *IN_PLACE)
    told = re.findall(r"worker (\d+) -> (\d+)", output)
    assert [int(old) for old, _ in told] == oldest_first
    # When one has gone, those that replace the ones before it serve already.
    for sample in seen.samples:
        gone = [old for old in oldest_first if old not in sample.children]
        assert gone == oldest_first[: len(gone)]
        replacements = {int(new) for _, new in told[: max(0, len(gone) - 1)]}
        assert replacements <= sample.ready


def test_a_percentage_of_surge_boots_that_many_at_once_after_the_first(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS, roll={"max_surge": "50%"})).deploy("v2", boot="gate")
    with site.unharmed(replaced=WORKERS) as (_, seen, _):
        roll = site.ctl_start("rollrestart", "web")
        assert "surge 2" in roll.wait_says("rolling 4 workers")
        site.wait_booting("web", 1)
        time.sleep(1)  # so that it has waited for longer than it has computed
        assert seen.max_booting == 1
        site.open_gate("v2", boots=1)
        site.wait_booting("web", 2)
        site.open_gate("v2")
        roll.ends()
    assert seen.max_booting <= 2


@pytest.mark.parametrize(
    ("boot", "boot_secs", "at_once"), [("compute", 0.0, {1}), ("ok", 1.0, {2, 3})]
)
def test_no_more_boot_at_once_than_there_are_cores_where_boots_compute(
    make_site: MakeSite, boot: str, boot_secs: float, at_once: set[int]
) -> None:
    site = make_site(Program(workers=WORKERS, roll={"max_surge": "100%"}))
    site.deploy("v2", boot=boot, boot_secs=boot_secs)
    os.sched_setaffinity(site.pid("web"), [min(os.sched_getaffinity(0))])
    with site.unharmed(replaced=WORKERS) as (_, seen, _):
        site.roll("web")
    assert seen.max_booting in at_once


def test_a_percentage_of_unavailability_lets_that_many_be_missing(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS)).deploy("v2", boot="gate")
    with site.unharmed(least_ready=WORKERS // 2, replaced=WORKERS) as (_, seen, _):
        roll = site.ctl_start("rollrestart", "--max-surge=0", "--max-unavailable=50%", "web")
        assert len(site.wait_booting("web", 2).ready) == WORKERS / 2
        site.open_gate("v2")
        roll.ends()
    assert seen.max_children <= WORKERS


def _by_age(sample: Sample) -> list[int]:
    return sorted(sample.children, key=lambda pid: (psutil.Process(pid).create_time(), pid))
