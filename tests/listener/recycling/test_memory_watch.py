"""Workers are replaced before they have more memory than the program's limit."""

from __future__ import annotations

import pytest

from supervisor_roll.listener.recycling.memory_watch import EVERY_SECS, MIB
from supervisor_roll.rollout.settings import Settings
from tests.fakes.program import Program
from tests.fakes.site import Site, ready_site

LIMIT = 512


def limited_site(workers: int = 3, limit: int = LIMIT) -> tuple[Site, Program]:
    site, program = ready_site(workers, myapp={"max_worker_rss_mib": str(limit)})
    for pid in program.workers:
        site.table.own[pid] = 100 * MIB
    site.pass_time(EVERY_SECS)
    return site, program


def grow(site: Site, program: Program, secs: float, mib_a_sec: float, *ages: int) -> None:
    """Let these workers grow while time passes, and new ones be what a worker is at first."""
    for _ in range(round(secs)):
        for pid, worker in list(program.workers.items()):
            before = site.table.own.setdefault(pid, 100 * MIB)
            if worker.born in ages:
                site.table.own[pid] = before + round(mib_a_sec * MIB)
        site.pass_time(1)


def test_what_does_not_grow_stays() -> None:
    site, program = limited_site()
    grow(site, program, 60, 0)
    assert site.signals == []
    assert site.coordinator.next_deadline() is not None


def test_without_a_limit_nobody_looks() -> None:
    site, _ = ready_site(2)
    site.pass_time(60)
    assert site.coordinator.next_deadline() is None


@pytest.mark.parametrize("mib_a_sec", [0.5, 5.0, 20.0])
def test_one_that_grows_is_replaced_before_it_is_at_its_limit(mib_a_sec: float) -> None:
    site, program = limited_site()
    most = 0
    while 2 in program.serving:
        grow(site, program, 1, mib_a_sec, 2)
        most = max(most, *site.table.own.values())
    assert LIMIT * MIB / 2 < most < LIMIT * MIB
    assert program.serving == [1, 3, 4]
    assert [one for one in site.signals if "TT" in one] == ["TTIN myapp", "TTOU myapp"]
    assert site.least_serving["myapp"] == 3


def test_one_that_grows_once_is_no_leak() -> None:
    site, program = limited_site()
    grow(site, program, 20, 0)
    grow(site, program, 6, 20, 2)
    grow(site, program, 60, 0)
    assert program.serving == [1, 2, 3]


def test_one_that_has_jumped_past_its_limit_is_replaced() -> None:
    site, program = limited_site()
    grow(site, program, 20, 0)
    grow(site, program, 1, 500, 2)
    grow(site, program, 15, 0)
    assert program.serving == [1, 3, 4]
    assert site.supervisord.mailbox.statuses.get("myapp") is None


def test_a_limit_below_what_a_new_worker_has_is_told_and_ignored_until_it_is_another() -> None:
    site, program = limited_site(limit=80)
    grow(site, program, 120, 0)
    assert site.signals == []
    told = site.supervisord.mailbox.statuses["myapp"].recycling
    assert told == "max_worker_rss_mib=80 is ignored: a worker that has just started has 100 MiB"
    site.settings["myapp"] = Settings.parsed({"max_worker_rss_mib": "99"})
    grow(site, program, 30, 0)
    assert program.serving != [1, 2, 3], "they were there before it"


def test_a_listener_that_may_not_signal_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    site, program = limited_site()
    site.table.forbidden = True
    grow(site, program, 1, 600, 2)
    grow(site, program, 30, 0)
    assert program.serving == [1, 2, 3]
    assert "may not signal worker" in caplog.text


def test_what_shows_no_memory_of_its_own_is_left_alone() -> None:
    site, program = ready_site(2, myapp={"max_worker_rss_mib": "1"})
    site.pass_time(60)
    assert site.signals == []
    assert program.serving == [1, 2]
