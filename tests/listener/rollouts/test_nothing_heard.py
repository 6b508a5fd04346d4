"""A rollout of which the listener hears nothing, and one whose listener was stopped meanwhile."""

from __future__ import annotations

import pytest

from supervisor_roll.listener.edges.clock import GAP_SECS, TICK_SECS, SteadyClock
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.messages import Ack, Counted, Ready
from tests.fakes.site import Program, Site, ready_site, saved

WORKER = "gunicorn: worker [myapp]"


def deaf_site(workers: int = 3) -> tuple[Site, Program]:
    site, program = ready_site(workers)
    site.deaf = True
    return site, program


def test_a_rollout_of_which_nothing_is_heard_adds_what_it_may_and_takes_it_back() -> None:
    site, program = deaf_site()
    job = site.ask("myapp", ready_timeout_secs="20")
    site.pass_time(60)
    assert site.reports(job)[-1] == ("myapp", FAILED)
    assert "has said nothing at all" in site.facts(job, FAILED)["why"]
    assert site.signals.count("TTIN myapp") == 1
    assert site.most_staying["myapp"] == 4
    assert program.num_workers == 3
    assert program.serving == [1, 2, 3]


def test_an_abort_of_it_takes_it_back_too_and_says_how_many_serve() -> None:
    site, program = deaf_site()
    job = site.ask("myapp")
    site.pass_time(1)
    site.ask("myapp", kind=wire.ABORT)
    site.pass_time(20)
    facts = site.facts(job, ABORTED)
    assert len(facts["outdated"]) == 3 and facts["fresh"] == [] and facts["count"] == 3
    assert program.num_workers == 3


@pytest.mark.parametrize("killed_at", range(12))
def test_a_listener_killed_meanwhile_adds_no_more(killed_at: int) -> None:
    site, program = deaf_site()
    site.killed_at = killed_at
    job = site.ask("myapp", ready_timeout_secs="20")
    site.pass_time(120)
    assert site.reports(job)[-1] == ("myapp", FAILED)
    assert site.most_staying["myapp"] <= 4
    assert program.num_workers == 3


def test_a_listener_that_was_stopped_fails_no_good_rollout() -> None:
    site, program = ready_site(2, later=())
    job = site.ask("myapp", ready_timeout_secs="20")
    site.now += 45  # nobody looks
    site.settle()
    for pid in [pid for pid, worker in program.workers.items() if not worker.ready]:
        program.say(pid, Ready)
    program.boots = lambda age: (Ready,)
    site.pass_time(5)
    assert site.reports(job)[-1] == ("myapp", COMPLETE)
    assert program.num_workers == 2


def test_a_worker_that_is_really_late_is_so_in_time() -> None:
    site, _ = ready_site(2, later=())
    job = site.ask("myapp", ready_timeout_secs="20")
    site.pass_time(19)
    assert not site.is_done(job)
    site.pass_time(10)
    assert site.reports(job)[-1] == ("myapp", FAILED)


def test_a_gap_counts_as_a_tick_and_what_is_due_is_waited_for_in_ticks() -> None:
    now = 100.0
    clock = SteadyClock(lambda: now)
    assert clock() == 100.0
    now += GAP_SECS
    assert clock() == 100.0 + GAP_SECS
    now += 3600
    assert clock() == 100.0 + GAP_SECS + TICK_SECS
    assert clock.outside(clock() + 1) == now + 1
    assert clock.outside(clock() + 60) == now + TICK_SECS


def test_a_new_listeners_clock_goes_on_from_the_last_ones() -> None:
    site, _ = ready_site(2)
    site.ask("myapp", min_ready_secs="3")
    then = saved(site, "")["clock"]
    site.now += 500
    site.restart()
    assert then < site.coordinator.clock() <= then + GAP_SECS


def test_a_worker_cannot_set_its_arbiters_count_to_what_is_not_to_be_seen() -> None:
    site, program = ready_site(2)
    for count, changes in ((9, 50), (1, 51), (0, 52)):
        fields = {"age": 1, "workers": count, "changes": changes}
        site.hear(program.id.pid + 1, Ready(**fields, boot_secs=1))
        site.hear(program.id.pid + 1, Counted(**fields))
    assert site.arbiter(program).count == 2
    job = site.ask("myapp")
    assert site.reports(job)[-1] == ("myapp", COMPLETE)


def test_a_count_that_was_lost_is_said_again_by_a_worker_and_acknowledged() -> None:
    site, program = ready_site(3)
    site.deaf = True
    program.signal("TTOU")
    site.settle()
    site.deaf = False
    about = {"age": 2, "workers": 2, "changes": program.changes}
    answer = site.hear(program.id.pid + 2, Counted(**about))
    site.settle()
    assert answer is not None and answer.sent is not None and isinstance(answer.sent, Ack)
    assert answer.sent.changes == program.changes
    job = site.ask("myapp")
    assert site.reports(job)[-1] == ("myapp", COMPLETE)
    assert program.num_workers == 2


def test_a_count_that_was_lost_for_good_is_seen_in_the_process_table() -> None:
    site, program = ready_site(3)
    site.deaf = True
    program.signal("TTOU")
    site.settle()
    site.deaf = False
    job = site.ask("myapp")
    site.pass_time(10)
    assert site.reports(job)[-1] == ("myapp", COMPLETE)
    assert program.num_workers == len(program.serving) == 2


def helper(site: Site, program: Program, line: str = WORKER) -> int:
    """A child of the arbiter that is no worker of it."""
    return site.fork(program.id.pid + 900, program.id.pid, line).pid


@pytest.mark.parametrize("line", ["gunicorn: dirty-arbiter", WORKER, "tail -F x"])
@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize("end", [COMPLETE, FAILED, ABORTED])
def test_a_child_of_the_arbiter_that_is_no_worker_is_neither_counted_nor_signalled(
    line: str, when: str, end: str
) -> None:
    site, program = ready_site(3)
    if when == "before":
        other = helper(site, program, line)
    site.deaf = end != COMPLETE
    job = site.ask("myapp", ready_timeout_secs="20", min_ready_secs="2")
    if when == "during":
        other = helper(site, program, line)
    if end == ABORTED:
        site.pass_time(1)
        site.ask("myapp", kind=wire.ABORT)
    site.pass_time(60)
    assert site.reports(job)[-1] == ("myapp", end)
    assert site.table.alive(site.table.processes[other].id)
    assert not [one for one in site.signals if one.endswith(f" {other}")]
    assert program.num_workers == len(program.serving) == 3


def test_nor_is_it_by_the_next_listener() -> None:
    site, program = ready_site(2, later=())
    job = site.ask("myapp", ready_timeout_secs="20")
    site.close_listener()
    other = helper(site, program)
    site.restart()
    site.pass_time(60)
    assert site.reports(job)[-1] == ("myapp", FAILED)
    assert not [one for one in site.signals if one.endswith(f" {other}")]
    assert program.num_workers == 2


@pytest.mark.parametrize(("line", "counted"), [(WORKER, True), ("tail -F x", False)])
def test_where_the_kernel_does_not_say_what_it_is_it_may_be_counted_but_is_not_signalled(
    line: str, counted: bool
) -> None:
    site, program = deaf_site()
    job = site.ask("myapp", ready_timeout_secs="20")
    other = helper(site, program, line)
    for process in site.table.processes.values():
        process.marked = None
    site.pass_time(150)
    assert site.reports(job)[-1] == ("myapp", FAILED)
    assert ("5 workers run where 4 may" in site.facts(job, FAILED)["why"]) == counted
    assert not [one for one in site.signals if one.endswith(f" {other}")]
    assert program.serving[:3] == [1, 2, 3]


def test_one_that_is_older_than_the_workers_is_not_counted_where_the_kernel_does_not_say() -> None:
    site, program = ready_site(2)
    table, registry = site.table, site.coordinator.registry
    arbiter = site.arbiter(program)
    other = helper(site, program)
    process = table.processes[other]
    process.marked = None
    assert process.id in registry.children(arbiter)
    process.id = InstanceId(other, program.id.started)
    assert process.id not in registry.children(arbiter)
