"""What a worker that is past a limit says, when, and what it makes of the answers."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.channel import ANSWER_SECS
from supervisor_roll.hooks.shared_memory import WorkerPage
from supervisor_roll.hooks.worker.recycling import SAY_SECS, UNANSWERED_SECS, Recycling
from supervisor_roll.hooks.worker.request_limit import RequestLimit
from supervisor_roll.wire.messages import Ack, Due

LIMIT, GRACE_SECS = 600, 300.0


class Listener:
    """In place of the channel: what was said, and what each look is answered."""

    def __init__(self) -> None:
        self.said: list[Due] = []
        self.answer: Ack | None = None
        self.dropped = 0

    def ask(self, message: Due) -> Ack | None:
        self.said.append(message)
        return self.answer

    def close(self) -> None:
        self.dropped += 1


class Worker:
    def __init__(self, **ready: Any) -> None:
        self.gunicorns = SimpleNamespace(max_requests=LIMIT, nr=0)
        self.page, self.state, self.listener = WorkerPage(), ArbiterState(), Listener()
        reporter: Any = SimpleNamespace(
            page=self.page,
            born=0.0,
            message=lambda kind, **fields: kind(age=self.page.retire_age or 7, **fields),
        )
        worker: Any = self.gunicorns
        ready = {"recycle": True, "grace_secs": GRACE_SECS, **ready}
        self.recycling = Recycling(reporter, self.state, RequestLimit(worker), Ack(**ready))
        channel: Any = self.listener
        self.recycling._channel = channel

    def look(self, *times: float) -> list[Due]:
        """What it says at heartbeats at these times."""
        self.listener.said = []
        for now in times:
            self.recycling.look(now)
        return self.listener.said


def test_it_says_nothing_below_its_limit_and_its_limit_is_lifted() -> None:
    worker = Worker()
    worker.gunicorns.nr = LIMIT - 1
    assert worker.look(1.0, 2.0) == []
    assert worker.gunicorns.max_requests == sys.maxsize


def test_where_it_is_not_recycled_the_limit_stays() -> None:
    worker = Worker(recycle=False)
    worker.gunicorns.nr = 2 * LIMIT
    assert worker.look(1.0) == []
    assert worker.gunicorns.max_requests == LIMIT


def test_it_says_it_every_few_seconds_and_by_how_much() -> None:
    worker = Worker()
    worker.gunicorns.nr = 612
    worker.listener.answer = Ack(recycle=True)
    said = worker.look(*map(float, range(100, 100 + 2 * int(SAY_SECS))))
    assert [(one.why, one.over) for one in said] == [("612 requests, limit 600", 1.02)] * 2
    assert worker.gunicorns.max_requests == sys.maxsize


def test_the_age_that_it_is_given_is_where_its_arbiter_sees_it_and_is_said_at_once() -> None:
    worker = Worker()
    worker.gunicorns.nr = LIMIT
    worker.listener.answer = Ack(recycle=True, retire_age=-1_000_000)
    assert [one.age for one in worker.look(100.0)] == [7, -1_000_000]
    assert worker.page.retire_age == -1_000_000


def test_an_answer_that_has_not_come_in_time_is_not_taken_any_more() -> None:
    worker = Worker()
    worker.gunicorns.nr = LIMIT
    worker.look(100.0)
    assert worker.listener.dropped == 0
    worker.look(100.0 + ANSWER_SECS + 0.1)
    assert worker.listener.dropped == 1


def test_where_nobody_answers_the_limit_is_put_back() -> None:
    worker = Worker()
    worker.gunicorns.nr = LIMIT
    worker.look(100.0, 100.0 + UNANSWERED_SECS - 0.1)
    assert worker.gunicorns.max_requests == sys.maxsize
    worker.look(100.0 + UNANSWERED_SECS)
    assert worker.gunicorns.max_requests == LIMIT


@pytest.mark.parametrize(("more_grace", "limit"), [(False, LIMIT), (True, sys.maxsize)])
def test_it_is_put_back_after_the_grace_unless_that_begins_anew(
    more_grace: bool, limit: int
) -> None:
    worker = Worker()
    worker.gunicorns.nr = LIMIT
    worker.listener.answer = Ack(recycle=True, more_grace=more_grace)
    secs = map(float, range(100, 100 + int(GRACE_SECS) + 2))
    worker.look(*secs)
    assert worker.gunicorns.max_requests == limit


def test_it_is_put_back_at_once_where_recycling_was_turned_off() -> None:
    worker = Worker()
    worker.gunicorns.nr = LIMIT
    worker.listener.answer = Ack()
    worker.look(100.0)
    assert worker.gunicorns.max_requests == LIMIT


def test_one_that_is_past_its_lifetime_says_so_for_as_long_as_it_lives() -> None:
    worker = Worker(lifetime_secs=60.0)
    assert worker.look(59.0) == []
    [said] = worker.look(90.0)
    assert (said.why, said.over) == ("90 s old, limit 60", 1.5)
    assert worker.look(3600.0), "Gunicorn has no such limit that could be put back"


def test_one_that_is_asked_to_says_it_until_it_is_told_that_it_is_not() -> None:
    worker = Worker()
    worker.state.asked_to_retire = True
    worker.listener.answer = Ack(recycle=True, unasked=True)
    [said] = worker.look(100.0)
    assert said.why == ""
    assert worker.look(200.0) == []


def test_of_two_limits_it_names_the_one_that_it_is_further_over() -> None:
    worker = Worker(lifetime_secs=60.0)
    worker.gunicorns.nr = 2 * LIMIT
    assert worker.look(61.0)[0].why == "1200 requests, limit 600"


def test_a_worker_that_counts_in_a_way_that_nobody_here_knows_keeps_its_limit() -> None:
    worker: Any = SimpleNamespace(max_requests=LIMIT, nr=0)
    assert RequestLimit.of(worker) is None
    worker.max_requests = sys.maxsize
    assert RequestLimit.of(worker) is None
