"""Who watches sees each worker; who does not costs nobody anything."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from supervisor_roll.listener import watching
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.words import BOOTING, DRAINING, READY
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.messages import Booting, Loaded, Ready
from supervisor_roll.wire.workers import WATCHED_SECS, Workers, workers_text
from tests.fakes.site import EPOCH, Site, ready_site


def watch(site: Site) -> Workers:
    """Ask as a display does, ring if that is wanted, and let it happen."""
    mailbox = site.supervisord.mailbox
    if mailbox.watch(site.now):
        site.coordinator.rung()
    site.settle()
    return shown(site)


def shown(site: Site) -> Workers:
    mailbox = site.supervisord.mailbox
    return from_json(Workers, workers_text(mailbox.workers, mailbox.workers_at))


def told(site: Site) -> list[dict[str, list[str]]]:
    """The programs, with the keys, that each exchange since the last time told workers of."""
    found = [
        {name: sorted(rows) for name, rows in one.workers.items()}
        for one in site.supervisord.received
        if one.workers
    ]
    site.supervisord.received.clear()
    return found


@pytest.fixture
def site() -> Iterator[Site]:
    site, program = ready_site(2)
    program.busy = True
    site.pass_time(10)
    site.supervisord.received.clear()
    yield site
    site.close()


def test_nothing_is_told_unless_somebody_watches(site: Site) -> None:
    site.ask("myapp")
    site.pass_time(30)
    assert told(site) == []
    assert shown(site) == Workers()


def test_who_watches_sees_them_at_once_and_what_changes(site: Site) -> None:
    site.table.worker_bytes = 50 * 2**20 + 5
    site.table.room_bytes = 2**40
    found = watch(site)
    assert found.at == EPOCH + site.now
    assert [(one.state, one.memory_bytes) for one in found.programs["myapp"]] == [
        (READY, 50 * 2**20)
    ] * 2
    told(site)
    program = site.programs["myapp"]
    program.boots = lambda age: (Booting,)
    site.ask("myapp", max_surge="1")
    site.pass_time(watching.LEAST_SECS)
    [new] = [one for one in shown(site).programs["myapp"] if not one.outdated]
    assert (new.state, new.began) == (BOOTING, pytest.approx(EPOCH + site.now, abs=1))
    for kind in (Loaded, Ready):
        program.say(new.pid, kind)
    site.settle()
    site.pass_time(watching.LEAST_SECS)
    states = {one.pid: one.state for one in shown(site).programs["myapp"]}
    assert states[new.pid] == READY
    assert DRAINING in states.values()


def test_those_that_have_gone_are_there_until_the_rollout_ends(site: Site) -> None:
    program = site.programs["myapp"]
    program.boots = lambda age: (Booting, Loaded, Ready) if age < 4 else ()
    watch(site)
    site.ask("myapp", max_surge="1")
    program.drained()
    site.settle()
    site.pass_time(1)
    watch(site)
    assert sum(one.gone_at is not None for one in shown(site).programs["myapp"]) == 1
    for kind in (Booting, Loaded, Ready):
        program.say(max(program.workers), kind)
    site.settle()
    program.drained()
    site.settle()
    site.pass_time(watching.MOST_SECS)
    found = watch(site).programs["myapp"]
    assert [(one.gone_at, one.state) for one in found] == [(None, READY)] * 2


def test_of_much_that_happens_at_once_it_is_told_four_times_a_second(site: Site) -> None:
    watch(site)
    told(site)
    program = site.programs["myapp"]
    for _ in range(100):
        program.say(max(program.workers), Loaded)
        site.settle()
        site.now += 0.01
    assert sum("myapp" in one for one in told(site)) <= 1 / watching.LEAST_SECS + 1


def test_what_is_as_it_was_is_not_told_again(site: Site) -> None:
    watch(site)
    told(site)
    for _ in range(5):
        site.pass_time(2)
        watch(site)
    assert told(site) == []
    assert len(shown(site).programs["myapp"]) == 2


def test_it_ends_by_itself_and_begins_anew(site: Site) -> None:
    watch(site)
    site.pass_time(2 * WATCHED_SECS)
    assert shown(site) == Workers()
    assert site.coordinator.next_deadline() is None
    site.supervisord.received.clear()
    site.pass_time(100)
    assert site.supervisord.received == []
    assert len(watch(site).programs["myapp"]) == 2


def test_a_listener_that_is_watched_does_not_rest(site: Site) -> None:
    assert site.coordinator.watched_at_rest() is not None
    watch(site)
    assert site.coordinator.watched_at_rest() is None
    site.pass_time(2 * WATCHED_SECS)
    assert site.coordinator.watched_at_rest() is not None


def test_another_listener_tells_it_all_again(site: Site) -> None:
    watch(site)
    site.restart()
    assert shown(site) == Workers()
    site.settle()
    assert len(shown(site).programs["myapp"]) == 2


def test_after_an_answer_that_was_lost_it_is_told_all_again(site: Site) -> None:
    watch(site)
    site.supervisord.loses_answers = True
    site.pass_time(watching.MOST_SECS)
    site.supervisord.loses_answers = False
    site.pass_time(2)
    watch(site)
    site.pass_time(2)
    assert len(watch(site).programs["myapp"]) == 2


@pytest.mark.parametrize("bound", [{"MEASURED_AT_ONCE": 1}, {"MEASURED_WITHIN_SECS": 0.0}])
def test_a_few_are_measured_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, bound: dict[str, float]
) -> None:
    for name, value in bound.items():
        monkeypatch.setattr(watching, name, value)
    site.table.worker_bytes = 2**20
    sizes = [
        sum(bool(one.memory_bytes) for one in watch(site).programs["myapp"])
        for _ in range(2)
        if site.pass_time(watching.MOST_SECS) is None
    ]
    assert sizes == [1, 2]


def test_a_row_is_as_the_report_has_it(site: Site) -> None:
    watch(site)
    [first, _] = site.supervisord.mailbox.workers["myapp"].values()
    assert from_json(WorkerLife, first).pid == json.loads(first)["pid"]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"reload": True}, "turn reload off"),
        ({"missing": "pre_fork"}, "without the hooks"),
        ({}, ""),
    ],
)
def test_who_watches_is_told_what_cannot_be_rolled(facts: dict[str, object], why: str) -> None:
    site = Site()
    try:
        site.start("myapp", workers=2, **facts)
        site.settle()
        found = watch(site)
        assert why in found.resists.get("myapp", "")
        assert bool(why) == ("myapp" in found.resists)
        assert len(found.programs["myapp"]) == 2
    finally:
        site.close()
