"""What supervisord is told: what has changed, and all of it where that is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import Exchange
from supervisor_roll.wire.messages import Booting, Loaded, Ready
from tests.fakes.site import BOOT, PIDS, Site, ready_site, saved, site_with


def rolled(programs: int) -> Site:
    """So many programs, each of which has been rolled."""
    site = site_with(**{f"p{number}": 2 for number in range(programs)})
    site.ask("p0")
    coordinator = site.coordinator
    coordinator.jobs.statuses |= dict.fromkeys(site.programs, coordinator.jobs.statuses["p0"])
    coordinator.outbox.unsaved |= set(site.programs)
    site.settle()
    assert len(site.supervisord.mailbox.statuses) == programs
    site.supervisord.received.clear()
    return site


def chars(said: list[Exchange]) -> int:
    return sum(len(to_json(one)) for one in said)


def test_what_is_told_is_as_large_as_what_has_changed() -> None:
    sizes: dict[str, list[int]] = {"a worker's word": [], "a rollout": []}
    for programs in (2, 200):
        site = rolled(programs)
        worker = max(site.programs["p0"].workers)
        site.programs["p0"].say(worker, Loaded)
        site.settle()
        sizes["a worker's word"].append(chars(site.supervisord.received))
        site.supervisord.received.clear()
        site.ask("p0")
        sizes["a rollout"].append(chars(site.supervisord.received))
    for few, many in sizes.values():
        assert 0 < many <= 1.5 * few


class Unlooked(dict[Any, Any]):
    """Of which one may be asked for, and nobody goes through all."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("somebody looks at all of them")

    values = items = keys = __iter__


def test_nobody_looks_at_the_workers_of_other_programs() -> None:
    site = site_with(a=2, b=2)
    site.coordinator.pump()
    [other] = [one for one in site.coordinator.registry.arbiters.values() if one.namespec == "b"]
    other.workers = Unlooked(other.workers)
    job = site.ask("a")
    assert site.is_done(job)
    assert site.programs["a"].serving == [3, 4]


def test_of_many_workers_only_the_one_that_spoke_is_told() -> None:
    sizes = []
    for workers in (4, 64):
        site, program = ready_site(workers)
        program.boots = lambda age: (Booting, Loaded)
        site.ask("myapp")
        site.supervisord.received.clear()
        program.say(max(program.workers), Ready)
        site.settle()
        said, *_ = site.supervisord.received
        assert said.signals
        sizes.append(len(to_json(said)))
    assert sizes[1] <= 1.5 * sizes[0]


def test_a_signal_leaves_with_what_must_be_known_and_what_is_shown_comes_after() -> None:
    site, program = ready_site(4)
    program.boots = lambda age: (Booting, Loaded)
    site.ask("myapp")
    site.pass_time(1)
    site.supervisord.received.clear()
    program.say(max(program.workers), Ready)
    site.settle()
    first, *_ = site.supervisord.received
    assert [one.name for one in first.signals] == ["TTOU"]
    assert not first.statuses
    assert "settings" not in first.state["myapp"]
    site.pass_time(1)
    shown = [one.statuses["myapp"] for one in site.supervisord.received if one.statuses]
    assert shown[-1] is not None
    assert shown[-1].ready == 4
    site.supervisord.received.clear()
    site.pass_time(1)
    assert site.supervisord.received == []


def test_of_a_restarted_listeners_first_word_nothing_is_left_for_later() -> None:
    site, program = ready_site(4)
    program.boots = lambda age: (Booting, Loaded)
    site.ask("myapp")
    site.restart()
    site.supervisord.received.clear()
    program.say(max(program.workers), Ready)
    site.settle()
    whole = next(one for one in site.supervisord.received if one.whole)
    assert whole.statuses.keys() == {"myapp"}


def test_supervisord_is_asked_no_more_often_the_more_workers_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    for workers in (2, 8):
        site, program = ready_site(workers)
        times = [0]
        processes = site.supervisord.processes

        def counted(times: list[int] = times, processes: Any = processes) -> Any:
            times[0] += 1
            return processes()

        monkeypatch.setattr(site.supervisord, "processes", counted)
        assert site.is_done(site.ask("myapp", max_surge="1"))
        assert len(program.serving) == workers
        asked.append(times[0])
    assert asked[0] == asked[1]


def test_after_a_restart_the_whole_is_told_again() -> None:
    site = rolled(3)
    before = [saved(site, f"p{number}") for number in range(3)]
    site.restart()
    site.settle()
    assert [one.whole for one in site.supervisord.received] == [False, True]
    assert [saved(site, f"p{number}") for number in range(3)] == before


@pytest.mark.parametrize("was_heard", [False, True])
def test_after_a_lost_answer_the_whole_is_told_again_and_a_signal_sent_once(
    was_heard: bool,
) -> None:
    site, program = ready_site(2)
    program.boots = lambda age: (Booting, Loaded)
    site.ask("myapp")
    site.log.clear()
    site.supervisord.received.clear()
    site.supervisord.unreachable, site.supervisord.loses_answers = not was_heard, was_heard
    program.boots = lambda age: BOOT
    program.say(PIDS + 13, Ready)
    site.pass_time(3)
    site.supervisord.unreachable = site.supervisord.loses_answers = False
    site.pass_time(1)
    assert site.log.count("TTOU myapp") == 2
    assert program.serving == [3, 4]
    assert {one.whole for one in site.supervisord.received} == {True, False}
    text = json.dumps(saved(site))
    site.restart()
    site.settle()
    assert json.dumps(saved(site)) == text
