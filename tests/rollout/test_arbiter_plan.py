"""Strategy ``arbiter``: what the plan says where a rollout stands, rule by rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_roll.rollout.arbiter_plan import Standing, next_move
from supervisor_roll.rollout.events import Whose
from supervisor_roll.rollout.instances import RETIRE as RETIRED
from supervisor_roll.rollout.instances import STOP as STOPPED
from supervisor_roll.rollout.instances import Instance, Instances
from supervisor_roll.rollout.moves import (
    ADD,
    DISCARD,
    END,
    KEEP,
    PROMOTE,
    REMOVE,
    RETRY,
    START,
    STOP,
    WAIT,
)
from supervisor_roll.rollout.settings import Budget
from supervisor_roll.rollout.timing import BIRTH_SECS
from supervisor_roll.rollout.words import FAILED
from tests.rollout.test_worker_plan import NOW, booting, fresh, old

# Two workers are desired, one more may run. Those of the successor have ages of their own.
OLD, NEW = Whose.ARBITER, Whose.SUCCESSOR


def standing(*members: Instance, **more: Any) -> Standing:
    values: dict[str, Any] = {
        "instances": Instances(list(members)),
        "count": len([one for one in members if not one.fresh and not one.wanted_gone]),
        "successor_count": len([one for one in members if one.fresh and not one.wanted_gone]),
        "desired": 2,
        "goal": 2,
        "first": 1,
        "budget": Budget(1, 0),
        "floor": 2,
        "ready_timeout_secs": 60.0,
        "started": any(one.fresh for one in members),
        "now": NOW,
        "turned_at": NOW,
    }
    return Standing(**{**values, **more})


Decision = tuple[str, Whose | None, int | None]


def decided(at: Standing) -> Decision:
    move = next_move(at)
    whose = move.whose if move.kind in (ADD, REMOVE) else None
    return move.kind, whose, None if move.instance is None else move.instance.age


def just(kind: str) -> Decision:
    return kind, None, None


AT_FIRST = (old(1), old(2))
BEGUN = (old(1), old(2), fresh(1))  # the successor has its first worker
GROWING = (old(2), fresh(1))  # and the old arbiter one less
WAITS = just(WAIT)
IN_PLACE = {"budget": Budget(0, 1), "floor": 1}
FORWARD = {
    "start a successor": (AT_FIRST, {}, just(START)),
    "in place the old one makes room first": (AT_FIRST, IN_PLACE, (REMOVE, OLD, 1)),
    "and no more than it must": ((old(2),), IN_PLACE, just(START)),
    "and none that is not known": ((), {**IN_PLACE, "count": 2}, just(START)),
    "nothing while it is paused": (AT_FIRST, {"paused": True}, WAITS),
    "nothing while supervisord is asked": (AT_FIRST, {"requested": START}, WAITS),
    "nothing while a signal is under way": ((old(1), fresh(1)), {"signalled": True}, WAITS),
    "nothing once a worker has crashed": ((old(1), fresh(1)), {"crashed": True}, WAITS),
    "promote it once all are available": ((old(1), fresh(1), fresh(2)), {}, just(PROMOTE)),
    "and not before": ((old(1), fresh(1), booting(2)), {}, WAITS),
    "no more than the canaries": ((old(1), fresh(1)), {"canaries_passed": False}, WAITS),
    "no more before one was ready": ((old(2), booting(1)), {"proved": False}, WAITS),
    "no more than may boot at once": ((old(2), booting(1)), {"most_boots": 1}, WAITS),
    "one more beside one that boots": ((old(2), booting(1)), {"most_boots": 2}, (ADD, NEW, None)),
    "no signal before it has workers": ((old(1),), {"started": True, "successor_count": 1}, WAITS),
    "it grows where there is room": (GROWING, {}, (ADD, NEW, None)),
    "it grows beside the last one": (GROWING, IN_PLACE, (ADD, NEW, None)),
    "the old one shrinks where there is none": (BEGUN, {}, (REMOVE, OLD, 1)),
    "not before what has grown is available": ((old(1), old(2), booting(1)), {}, WAITS),
    "not by one that still boots": (
        (old(1, loaded=False, ready_since=None), old(2), fresh(1)),
        {},
        WAITS,
    ),
    "not by one that is needed": (BEGUN, {"floor": 3}, WAITS),
    "not while one has left and is still counted": (
        BEGUN,
        {"count": 1, "budget": Budget(0, 1), "goal": 3, "desired": 1},
        (ADD, NEW, None),
    ),
}
SHRUNK = {"wanted": FAILED, "shrunk": True}
FAILING = {"wanted": FAILED}
LATE = {**SHRUNK, "turned_at": NOW - 120.0}
BACK = {
    "discard what the old one needs not": (BEGUN, FAILING, just(DISCARD)),
    "wait for its end": (BEGUN, {**FAILING, "requested": DISCARD}, WAITS),
    "wait for an answer to a start": (AT_FIRST, {**FAILING, "requested": START}, WAITS),
    "wait for the effect of a signal": ((old(1), fresh(1)), {**SHRUNK, "signalled": True}, WAITS),
    "end": (AT_FIRST, FAILING, just(END)),
    "end where the old one has got all back": (AT_FIRST, SHRUNK, just(END)),
    "end where both are gone": ((), {**SHRUNK, "old_gone": True, "count": 2}, just(END)),
    "give back": (GROWING, SHRUNK, (ADD, OLD, None)),
    "not before one is heard that may be forked": (
        GROWING,
        {**SHRUNK, "successor_count": 2},
        WAITS,
    ),
    "nor for ever": (
        GROWING,
        {**SHRUNK, "successor_count": 2, "turned_at": NOW - BIRTH_SECS},
        (ADD, OLD, None),
    ),
    "wait until what was given back serves": (
        (booting(3, fresh=False), old(2), fresh(1)),
        SHRUNK,
        WAITS,
    ),
    "make room by what boots": (
        (old(2), fresh(1), booting(2, surplus=True), booting(3, surplus=True)),
        SHRUNK,
        (STOP, None, 2),
    ),
    "unless it would be replaced": (
        (old(1), old(2), fresh(1), booting(2, since=NOW + 1.0)),
        {**SHRUNK, "desired": 3},
        just(DISCARD),
    ),
    "and the others are needed": ((old(2), fresh(1), booting(2, since=NOW + 1.0)), SHRUNK, WAITS),
    "make room by one that serves": ((old(2), fresh(1), fresh(2)), SHRUNK, (REMOVE, NEW, 1)),
    "one after the other": ((old(2), fresh(1), fresh(2, wanted_gone=STOPPED)), SHRUNK, WAITS),
    "once what was asked for serves": (
        (booting(3, fresh=False), old(2), fresh(1), fresh(2)),
        {**SHRUNK, "desired": 3},
        WAITS,
    ),
    "nothing more while it is being discarded": (GROWING, {**SHRUNK, "requested": DISCARD}, WAITS),
    "discard it where the old one has failed and serves enough": (
        BEGUN,
        {**SHRUNK, "desired": 3, "unrecoverable_why": "x"},
        just(DISCARD),
    ),
    "keep it where it is needed": (GROWING, {**SHRUNK, "unrecoverable_why": "x"}, just(KEEP)),
    "keep it where the old one does not come back": (GROWING, LATE, just(KEEP)),
    "keep it for some time": (GROWING, {**LATE, "kept_since": NOW - 59.0}, WAITS),
    "then ask the old one again": (GROWING, {**LATE, "kept_since": NOW - 60.0}, just(RETRY)),
    "let it go at any price": (GROWING, {**LATE, "forced": True}, just(DISCARD)),
}


@pytest.mark.parametrize("case", [*FORWARD.items(), *BACK.items()], ids=lambda case: case[0])
def test_what_moves_next(case: tuple[str, tuple[Any, dict[str, Any], Decision]]) -> None:
    members, more, decision = case[1]
    assert decided(standing(*members, **more)) == decision


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"shrunk": True}, ""),
        (
            {"shrunk": True, "count": 1, "unrecoverable_why": "SyntaxError"},
            "the old arbiter is left with 1 of 2 workers: SyntaxError",
        ),
        ({"count": 1}, "the old arbiter is left with 1 of 2 workers"),
        ({"count": 1, "old_gone": True}, ""),
    ],
)
def test_the_end_tells_what_the_old_arbiter_lacks(more: dict[str, Any], why: str) -> None:
    members = [old(age) for age in range(more.get("count", 2))]
    move = next_move(standing(*members, **{**FAILING, **more}))
    assert (move.kind, move.why) == (END, why)


def test_it_says_why_and_until_when_it_keeps_the_successor() -> None:
    keep = next_move(standing(old(2), fresh(1), **LATE))
    assert (keep.until, keep.why) == (NOW + 60.0, "its workers were not ready in time")
    kept = next_move(standing(old(2), fresh(1), **LATE, kept_since=NOW - 1.0))
    assert (kept.kind, kept.until) == (WAIT, NOW + 59.0)


def test_it_says_until_when_it_waits_for_the_old_arbiter() -> None:
    at = standing(booting(3, fresh=False), old(2), fresh(1), **SHRUNK)
    assert next_move(at).until == NOW + 120.0


def test_an_outdated_one_that_was_retired_is_not_counted_on() -> None:
    retired = old(1, wanted_gone=RETIRED)
    assert decided(standing(retired, old(2), fresh(1), fresh(2), goal=3)) == (ADD, NEW, None)


def test_to_decide_changes_nothing() -> None:
    for members, more, _ in [*FORWARD.values(), *BACK.values()]:
        at = standing(*members, **more)
        before = dataclasses.asdict(at)
        next_move(at)
        assert dataclasses.asdict(at) == before
