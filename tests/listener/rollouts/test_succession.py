"""A whole arbiter is replaced through the coordinator: what is done, told, and kept."""

from __future__ import annotations

import pytest

from supervisor_roll.rollout.reports import Arrived, Began, Broken, Note, Promoted, Succeeded
from supervisor_roll.rollout.words import COMPLETE, FAILED
from supervisor_roll.wire.mailbox import ABORT
from supervisor_roll.wire.messages import Booting, Loaded, Starting, Unready
from tests.fakes.arbiter_rollouts import (
    ALL_OF_IT,
    BIND,
    NEW,
    OLD,
    answer_to,
    kinds,
    what_it_is,
    why,
)
from tests.fakes.site import BOOT, PIDS, Program, Site, ready_site

# --- complete ---------------------------------------------------------------------------------


def test_a_successor_takes_the_place_of_what_serves(site: Site) -> None:
    socket = what_it_is(site.programs["myapp"].sockets[BIND])
    job = site.ask("myapp", strategy="arbiter")
    assert site.is_done(job)
    assert site.signals == ["succeed myapp", "promote myapp"]
    assert kinds(site, job) == ALL_OF_IT
    program = site.programs["myapp"]
    assert program.id.pid == NEW
    assert program.serving == [1, 2]
    assert what_it_is(program.sockets[BIND]) == socket, "it is another socket"
    assert site.supervisord.state("myapp") == "RUNNING"
    assert len(site.supervisord.infos) == 1
    assert site.least_serving["myapp"] == 2
    assert site.most_staying["myapp"] == 4


def test_it_is_started_once_that_is_saved_and_promoted_once_all_have_arrived(site: Site) -> None:
    site.ask("myapp", strategy="arbiter")
    told = [one for one in site.log if one != "exchange"]
    assert told == [
        "succeed myapp",
        f"answer STARTING {NEW}",
        f"answer LISTENING {NEW}",
        f"answer LOADED {NEW + 1}",
        f"answer READY {NEW + 1}",
        f"answer LOADED {NEW + 2}",
        "promote myapp",
        f"answer READY {NEW + 2}",
    ]
    for rpc in ("succeed myapp", "promote myapp"):
        assert site.log[site.log.index(rpc) - 1] == "exchange"


def test_the_reports_say_what_happened(site: Site) -> None:
    job = site.ask("myapp", strategy="arbiter")
    site.check_facts(
        job,
        Began.kind,
        strategy="arbiter",
        arbiter=OLD,
        workers=2,
        desired=2,
        ready=2,
        max_surge=2,
        max_unavailable=0,
        reasons=["as asked for"],
        changes={},
    )
    assert site.facts(job, Succeeded.kind) == {"old": OLD, "new": NEW}
    assert site.facts(job, Arrived.kind) == {
        "pid": NEW + 2,
        "boot_secs": 1.5,
        "health": "",
        "done": 2,
        "total": 2,
    }
    assert site.facts(job, Promoted.kind) == {"old": OLD, "new": NEW}
    site.check_facts(
        job,
        COMPLETE,
        strategy="arbiter",
        why="",
        replaced=2,
        total=2,
        min_ready=2,
        desired=2,
        count=2,
        outdated=[],
        fresh=[NEW + 1, NEW + 2],
        arbiter=NEW,
        workers=2,
    )


def test_the_status_tells_the_arbiters_apart_while_both_run_and_afterwards(site: Site) -> None:
    site.ask("myapp", strategy="arbiter")
    shown = [
        one.statuses["myapp"]
        for one in site.supervisord.received
        if one.statuses and "myapp" in one.statuses
    ]
    assert list(
        dict.fromkeys(
            (one.state, one.arbiter, one.successor, one.retiring, one.done) for one in shown
        )
    ) == [
        ("progressing", OLD, 0, 0, 0),
        ("progressing", OLD, NEW, 0, 0),
        ("progressing", OLD, NEW, 0, 1),
        ("progressing", OLD, NEW, 0, 2),
        ("progressing", NEW, 0, OLD, 2),
        ("complete", NEW, 0, 0, 2),
    ]
    assert (shown[-1].strategy, shown[-1].ready, shown[-1].desired) == ("arbiter", 2, 2)
    assert (shown[-1].outdated, shown[-1].fresh) == ([], [NEW + 1, NEW + 2])


def test_it_is_to_have_as_many_workers_as_there_were(site: Site) -> None:
    """An operator may have sent TTIN."""
    site.programs["myapp"].signal("TTIN")
    site.settle()
    job = site.ask("myapp", strategy="arbiter")
    answer = answer_to(site, Starting, NEW)
    assert (answer.successor, answer.workers) == (True, 3)
    assert site.facts(job, COMPLETE)["workers"] == 3


@pytest.mark.parametrize("number", [1, 5])
def test_another_number_of_workers_in_its_configuration_is_heeded(site: Site, number: int) -> None:
    site.configured["myapp"] = number
    job = site.ask("myapp", strategy="arbiter")
    assert answer_to(site, Starting, NEW).workers == number
    assert f"another number of workers: {number}" in site.facts(job, Note.kind)["text"]
    assert site.facts(job, COMPLETE)["workers"] == number
    assert site.programs["myapp"].num_workers == number


def test_sockets_that_were_given_to_gunicorn_are_for_it_to_find_again() -> None:
    site, _ = ready_site(2, ["fd://0"])
    job = site.ask("myapp", strategy="arbiter")
    assert kinds(site, job)[-1] == COMPLETE
    assert answer_to(site, Starting, NEW).sockets == ()
    site.close()


def test_it_can_be_replaced_again_and_again(site: Site) -> None:
    socket = what_it_is(site.programs["myapp"].sockets[BIND])
    for number in (1, 2, 3):
        job = site.ask("myapp", strategy="arbiter")
        assert kinds(site, job)[-1] == COMPLETE
        assert site.programs["myapp"].id.pid == PIDS + 1000 * number
    assert what_it_is(site.programs["myapp"].sockets[BIND]) == socket


def test_an_old_arbiter_that_drains_for_long_is_waited_for(site: Site) -> None:
    old = site.programs["myapp"]
    old.busy = True
    job = site.ask("myapp", strategy="arbiter")
    site.pass_time(1000)  # that it ends is supervisord's affair, after stopwaitsecs
    assert kinds(site, job)[-1] == Promoted.kind
    abort = site.ask("myapp", kind=ABORT)
    assert site.is_done(abort)
    assert "too late to abort" in site.facts(job, Note.kind)["text"]
    old.drained()
    site.settle()
    assert kinds(site, job)[-1] == COMPLETE
    assert site.signals == ["succeed myapp", "promote myapp"]


def test_where_the_old_arbiter_is_gone_by_the_time_of_the_promotion_it_is_complete(
    site: Site,
) -> None:
    """supervisord has seen it exit, and we have not yet."""
    old = site.programs["myapp"]
    site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    site.table.watched.discard(old.id)
    old.end("exit status 0")
    site.pass_time(10)
    status = site.supervisord.mailbox.statuses["myapp"]
    assert (status.state, status.arbiter, status.retiring) == (COMPLETE, NEW, 0)


# --- in steps ---------------------------------------------------------------------------------


def test_with_a_surge_that_was_asked_for_it_grows_as_the_old_one_shrinks() -> None:
    site, _ = ready_site(3, [BIND])
    job = site.ask("myapp", strategy="arbiter", max_surge="1")
    assert site.signals == [
        "succeed myapp",
        "TTOU myapp",
        "TTIN myapp:myapp.successor",
        "TTOU myapp",
        "TTIN myapp:myapp.successor",
        "promote myapp",
    ]
    assert answer_to(site, Starting, NEW).workers == 1
    assert kinds(site, job)[-1] == COMPLETE
    assert site.facts(job, Began.kind)["max_surge"] == 1
    site.check_facts(job, COMPLETE, arbiter=NEW, workers=3, count=3)
    assert site.programs["myapp"].num_workers == 3
    assert site.least_serving["myapp"] == 3
    assert site.most_staying["myapp"] == 4
    site.close()


def test_in_place_the_old_one_shrinks_first() -> None:
    site, _ = ready_site(2, [BIND])
    job = site.ask("myapp", strategy="arbiter", max_surge="0", max_unavailable="1")
    assert kinds(site, job)[-1] == COMPLETE
    assert site.signals == [
        "TTOU myapp",
        "succeed myapp",
        "TTIN myapp:myapp.successor",
        "promote myapp",
    ]
    assert site.least_serving["myapp"] == 1
    site.close()


def test_what_has_shrunk_grows_back_before_a_bad_successor_goes(site: Site) -> None:
    def second_fails(successor: Program) -> None:
        successor.boots = lambda age: BOOT if age == 1 else (Booting, Loaded, Unready)

    site.successor = second_fails
    job = site.ask("myapp", strategy="arbiter", max_surge="1", ready_timeout_secs="30")
    site.pass_time(300)
    assert kinds(site, job) == [Began.kind, Succeeded.kind, Arrived.kind, Broken.kind, FAILED]
    assert f"worker {NEW + 2} was not ready within 30 s" in why(site, job)
    site.check_facts(job, FAILED, arbiter=OLD, workers=2, count=2, fresh=[])
    program = site.programs["myapp"]
    assert program.serving == [2, 3]
    assert not any(one.surplus for one in program.workers.values())
    assert site.least_serving["myapp"] == 2
    assert site.signals[-1] == "discard myapp"
    assert site.supervisord.state("myapp:myapp.successor") == ""
