"""Whatever becomes of a successor, what serves keeps serving, and who asked is told why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.listener.coordinator import RETRY_SECS
from supervisor_roll.listener.rollouts.succession import TAIL_LINES
from supervisor_roll.rollout.reports import Arrived, Began, Broken, Promoted, Succeeded
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED
from supervisor_roll.wire.mailbox import ABORT
from supervisor_roll.wire.messages import Booting, Failed, Loaded, Starting, Unready
from tests.fakes.arbiter_rollouts import (
    BIND,
    NEW,
    OLD,
    answer_to,
    assert_old_one_serves,
    kinds,
    what_it_is,
    why,
)
from tests.fakes.site import PIDS, Program, Site


def test_a_start_that_supervisord_refuses_is_told(site: Site) -> None:
    site.supervisord.faults["succeed"] = (Faults.SPAWN_ERROR, "myapp: no such command")
    job = site.ask("myapp", strategy="arbiter")
    assert kinds(site, job) == [Began.kind, Broken.kind, FAILED]
    assert why(site, job) == "supervisord: no such command"
    assert site.signals == []
    assert_old_one_serves(site)


def test_what_a_successor_that_ends_has_written_last_is_told(site: Site) -> None:
    lines = [f"line {number}" for number in range(100)]

    def broken(successor: Program) -> None:
        successor.is_broken, successor.output = True, "\n".join([*lines, ""])

    site.successor = broken
    job = site.ask("myapp", strategy="arbiter")
    site.pass_time(10)
    assert kinds(site, job) == [Began.kind, Succeeded.kind, Broken.kind, FAILED]
    assert why(site, job) == (
        f"the successor (pid {NEW}) ended: exit status 3; the end of its output:\n"
        + "\n".join(lines[-TAIL_LINES:])
    )
    assert site.signals == ["succeed myapp"]
    assert_old_one_serves(site)


def test_a_successor_that_is_gone_when_its_start_is_answered_is_told(site: Site) -> None:
    def gone(successor: Program) -> None:
        successor.output = "cannot import it\n"
        successor.end("exit status 3")

    site.successor = gone
    job = site.ask("myapp", strategy="arbiter")
    site.pass_time(10)
    assert kinds(site, job) == [Began.kind, Broken.kind, FAILED]
    assert "ended: exit status 3; the end of its output:\ncannot import it" in why(site, job)
    assert_old_one_serves(site)


def test_a_traceback_says_more_than_the_end_of_the_output(site: Site) -> None:
    def cannot_boot(successor: Program) -> None:
        successor.boots = lambda age: (Booting,)
        successor.output = "much else\n"

    site.successor = cannot_boot
    job = site.ask("myapp", strategy="arbiter")
    successor = site.programs["myapp:myapp.successor"]
    successor.say(NEW + 1, Failed, error="SyntaxError", traceback="in app.py\nline 1")
    site.settle()
    successor.halt("exit status 3")
    site.pass_time(10)
    assert kinds(site, job)[-1] == FAILED
    assert why(site, job) == f"worker {NEW + 1} failed to boot: SyntaxError\nin app.py\nline 1"
    assert_old_one_serves(site)


@pytest.mark.parametrize("says", [(Booting,), (Booting, Loaded), (Booting, Loaded, Unready)])
def test_a_successor_whose_workers_are_never_ready_is_discarded(
    site: Site, says: tuple[str, ...]
) -> None:
    def never_ready(successor: Program) -> None:
        successor.boots = lambda age: says

    site.successor = never_ready
    job = site.ask("myapp", strategy="arbiter", ready_timeout_secs="30")
    site.pass_time(29)
    assert site.signals == ["succeed myapp"]
    site.pass_time(30)
    assert kinds(site, job) == [Began.kind, Succeeded.kind, Broken.kind, FAILED]
    assert f"worker {NEW + 1} was not ready within 30 s" in why(site, job)
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert_old_one_serves(site)


def test_a_promotion_that_supervisord_refuses_is_told(site: Site) -> None:
    site.supervisord.faults["promote"] = (Faults.FAILED, "myapp: it has no successor")
    job = site.ask("myapp", strategy="arbiter")
    assert kinds(site, job) == [
        Began.kind,
        Succeeded.kind,
        Arrived.kind,
        Arrived.kind,
        Broken.kind,
        FAILED,
    ]
    assert why(site, job) == "supervisord: it has no successor"
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert_old_one_serves(site)


def test_an_abort_discards_the_successor(site: Site) -> None:
    job = site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    site.pass_time(1)
    abort = site.ask("myapp", kind=ABORT)
    assert site.is_done(abort)
    assert site.is_done(job)
    assert kinds(site, job) == [Began.kind, Succeeded.kind, ABORTED]
    assert why(site, job) == "aborted by the operator"
    site.check_facts(job, ABORTED, arbiter=OLD, workers=2)
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert_old_one_serves(site)


def test_an_old_arbiter_that_is_stopped_meanwhile_takes_its_successor_along(site: Site) -> None:
    """An operator stops the program: nothing of it is to run then."""
    job = site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    old = site.programs["myapp"]
    old.busy = True
    old.stop()
    site.settle()
    site.pass_time(30)  # the successor would be ready to be promoted meanwhile
    assert kinds(site, job) == [Began.kind, Succeeded.kind, ABORTED]
    assert why(site, job).startswith("aborted by a stop of the program")
    old.drained()
    site.settle()
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert [(one.namespec, one.state) for one in site.supervisord.infos] == [("myapp", "STOPPED")]
    assert not site.coordinator.keeper.store.programs


def has_no_sockets_yet(successor: Program) -> None:
    successor.binds.clear()
    successor.boots = lambda age: ()


def has_handed_its_sockets_in(successor: Program) -> None:
    pass


@pytest.mark.parametrize("successor", [has_no_sockets_yet, has_handed_its_sockets_in])
def test_an_old_arbiter_that_crashes_meanwhile_is_started_again_on_its_sockets(
    site: Site, successor: Callable[[Program], None]
) -> None:
    """The successor that is being discarded must not be why they are lost."""
    site.successor = successor
    old = site.programs["myapp"]
    socket = what_it_is(old.sockets[BIND])
    job = site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    site.programs["myapp:myapp.successor"].busy = True
    old.halt()
    site.settle()
    assert not site.is_done(job)  # the successor drains
    again = site.start("myapp", 2, PIDS + 50, binds=[BIND])
    site.settle()
    assert what_it_is(again.sockets[BIND]) == socket
    assert again.serving == [1, 2]
    site.programs["myapp:myapp.successor"].drained()
    site.pass_time(30)
    assert kinds(site, job)[-1] == FAILED
    site.check_facts(job, FAILED, arbiter=PIDS + 50, workers=2)
    assert what_it_is(site.coordinator.keeper.store.for_another(old.id, "myapp")[0].fd) == socket


def test_a_successor_that_dies_right_after_its_promotion_is_told(site: Site) -> None:
    site.programs["myapp"].busy = True
    job = site.ask("myapp", strategy="arbiter")
    site.programs["myapp"].halt()
    site.pass_time(10)
    assert kinds(site, job)[-2:] == [Promoted.kind, FAILED]
    assert f"the arbiter (pid {NEW}) exited" in why(site, job)
    site.check_facts(job, FAILED, arbiter=0, workers=0)


def test_a_successor_that_nobody_rolls_any_more_is_refused(site: Site) -> None:
    """It was started just before its rollout ended, say."""
    site.supervisord.succeed("myapp")
    successor = site.programs["myapp:myapp.successor"]
    site.settle()
    assert answer_to(site, Starting, NEW).refused == "its rollout has ended"
    assert successor.ended
    assert_old_one_serves(site)


def test_while_supervisord_does_not_answer_its_actions_wait(site: Site) -> None:
    def deaf(successor: Program) -> None:
        site.supervisord.unreachable = site.successors == 1

    site.successor = deaf  # right after it has started one
    job = site.ask("myapp", strategy="arbiter")
    site.pass_time(20)
    assert site.log[-1] == "succeed myapp"
    site.supervisord.unreachable = False
    site.pass_time(RETRY_SECS)
    assert site.signals == ["succeed myapp", "succeed myapp", "promote myapp"]
    assert kinds(site, job)[-1] == COMPLETE


def test_a_program_that_is_gone_altogether_ends_its_rollout(site: Site) -> None:
    """Of the end of its successor supervisord says nothing any more."""
    job = site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    site.supervisord.infos.clear()
    site.programs["myapp"].end("exit status 0")
    site.programs["myapp:myapp.successor"].end("exit status 0")
    site.supervisord.infos.clear()
    site.pass_time(30)
    assert kinds(site, job)[-1] == FAILED
    assert site.is_done(job)


def test_a_successor_with_reload_is_discarded(site: Site) -> None:
    """Its workers may be ready with an error page in place of the application."""
    site.successor = lambda successor: successor.facts.update(reload=True)
    job = site.ask("myapp", strategy="arbiter")
    site.pass_time(5)
    assert kinds(site, job)[-1] == FAILED
    assert "turn reload off" in why(site, job)
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert_old_one_serves(site)


@pytest.mark.parametrize(
    ("tail", "hints"),
    [
        ("in when_ready\nOSError: [Errno 98] Address already in use", True),
        ("[ERROR] Connection in use: ('127.0.0.1', 80)\nOSError: Address already in use", False),
        ("RuntimeError", False),
    ],
)
def test_what_two_arbiters_cannot_have_is_hinted_at(site: Site, tail: str, hints: bool) -> None:
    site.successor = lambda successor: setattr(successor, "boots", lambda age: ())
    job = site.ask("myapp", strategy="arbiter")
    site.programs["myapp:myapp.successor"].output = tail
    site.programs["myapp:myapp.successor"].end("exit status 1")
    site.pass_time(30)
    assert tail in why(site, job)
    assert ("in which two arbiters run" in why(site, job)) == hints
    assert_old_one_serves(site)


def test_what_a_rollout_wants_no_more_is_not_done_once_supervisord_answers(site: Site) -> None:
    """It was to be promoted, and then an operator stopped the program."""
    old = site.programs["myapp"]
    old.busy = True
    site.supervisord.deaf_to.add("promote")
    job = site.ask("myapp", strategy="arbiter")
    old.stop()
    site.settle()
    site.supervisord.deaf_to.clear()
    site.pass_time(10)
    assert kinds(site, job)[-1] == ABORTED
    assert why(site, job).startswith("aborted by a stop of the program")
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert site.programs["myapp"] is old


def test_an_abort_before_supervisord_has_started_a_successor_discards_it(site: Site) -> None:
    site.supervisord.deaf_to.add("succeed")
    job = site.ask("myapp", strategy="arbiter")
    site.ask("myapp", kind=ABORT)
    site.supervisord.deaf_to.clear()
    site.pass_time(10)
    assert kinds(site, job)[-1] == ABORTED
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert_old_one_serves(site)


def test_those_that_serve_although_their_check_fails_are_told_apart_from_the_missing(
    site: Site,
) -> None:
    """A cold start is not held: what is wrong may be the check."""
    worker = next(iter(site.programs["myapp"].workers))
    site.programs["myapp"].say(worker, Unready, status="404 Not Found")
    site.settle()
    site.supervisord.faults["succeed"] = (Faults.SPAWN_ERROR, "myapp: no such command")
    job = site.ask("myapp", strategy="arbiter")
    facts = site.facts(job, FAILED)
    assert (facts["workers"], facts["unhealthy"]) == (2, 1)
