"""Strategy ``workers``: what the plan says where a rollout stands, rule by rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import STOP as STOPPED
from supervisor_roll.rollout.instances import Instance, Instances
from supervisor_roll.rollout.moves import ADD, END, REMOVE, RETIRE, SETTLE, STOP, WAIT
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.timing import REPEATS, SETTLE_SECS
from supervisor_roll.rollout.words import ABORTED, FAILED
from supervisor_roll.rollout.worker_plan import Standing, next_move

# Two workers are desired; ready_timeout_secs and drain_timeout_secs are 60.
NOW = 100.0


def one(age: int, kind: str, **more: Any) -> Instance:
    """An instance: outdated ones are ready, ``fresh`` ones available, ``booting`` ones neither."""
    serves = kind != "booting"
    values: dict[str, Any] = {
        "loaded": serves,
        "ready_since": 0.0 if serves else None,
        "available": kind == "fresh",
    }
    values |= {"fresh": kind != "outdated", "since": NOW, **more}
    return Instance(InstanceId(age, age), age, **values)


def old(age: int, **more: Any) -> Instance:
    return one(age, "outdated", **more)


def fresh(age: int, **more: Any) -> Instance:
    return one(age, "fresh", **more)


def booting(age: int, **more: Any) -> Instance:
    return one(age, "booting", **more)


def standing(*members: Instance, surge: int = 1, **more: Any) -> Standing:
    settings = Settings.parsed({"max_surge": str(surge), "max_unavailable": str(1 - min(surge, 1))})
    budget = settings.budget(2)
    values: dict[str, Any] = {
        "settings": settings,
        "instances": Instances(list(members)),
        "count": len([one for one in members if not one.wanted_gone]),
        "desired": 2,
        "budget": budget,
        "floor": 2 - budget.unavailable,
        "trial": 2,
        "now": NOW,
    }
    return Standing(**{**values, **more})


def decided(at: Standing) -> tuple[str, int | None]:
    move = next_move(at)
    return move.kind, None if move.instance is None else move.instance.age


WAITS, SETTLES, ENDS = (WAIT, None), (SETTLE, None), (END, None)
AT_FIRST = (old(1), old(2))
WITH_BOOTING = (old(1), old(2), booting(3))
WITH_FRESH = (old(1), old(2), fresh(3))
OLDEST_BOOTS = (old(1, loaded=False, ready_since=None), old(2), fresh(3))
ONE_OF_EACH = (old(1), booting(3))
GONE = {"wanted_gone": STOPPED, "asked_at": NOW}
FORWARD = {
    "one more while fewer than desired are fresh": (AT_FIRST, {}, (ADD, None)),
    "no more than the surge": (WITH_BOOTING, {}, WAITS),
    "no more than the canaries": (AT_FIRST, {"count": 2, "trial": 0}, WAITS),
    "one more beside one that boots": (WITH_BOOTING, {"surge": 2}, (ADD, None)),
    "no more than may boot at once": (WITH_BOOTING, {"surge": 2, "most_boots": 1}, WAITS),
    "one that is kept is no canary": ((fresh(1, kept=True), old(2)), {"trial": 1}, (ADD, None)),
    "the oldest, once another can be counted on": (WITH_FRESH, {}, (REMOVE, 1)),
    "none before the preflight has passed": (WITH_FRESH, {"cleared": False}, WAITS),
    "none that still boots": (OLDEST_BOOTS, {}, WAITS),
    "the outdated one itself where an older one is to stay": (
        (fresh(1, kept=True), old(2), fresh(3)),
        {},
        (RETIRE, 2),
    ),
    "an unhealthy one in place where the oldest must stay": (
        (old(1), old(2, ready_since=None), fresh(3)),
        {"floor": 3},
        (RETIRE, 2),
    ),
    "nothing while one that has left is counted": (WITH_FRESH, {"count": 2}, WAITS),
    "nothing while a signal is under way": (AT_FIRST, {"signalled": True}, WAITS),
    "nothing while it is paused": (AT_FIRST, {"paused": True}, WAITS),
    "in place one at a time": (AT_FIRST, {"surge": 0}, (RETIRE, 1)),
    "in place none while one is missing": ((old(1), booting(2)), {"surge": 0}, WAITS),
    "in place an unhealthy one first": (
        (old(1), old(2, ready_since=None)),
        {"surge": 0},
        (RETIRE, 2),
    ),
    "one more where a fresh one was lost": ((fresh(3),), {}, (ADD, None)),
    "the spare at the end": (
        (fresh(1, kept=True), fresh(2), fresh(3, surplus=True)),
        {},
        (STOP, 3),
    ),
    "the oldest at the end where none is a spare": (
        (fresh(1), fresh(2), fresh(3)),
        {},
        (REMOVE, 1),
    ),
    "none of too many before the others are available": (
        (fresh(1), fresh(2), booting(3)),
        {},
        WAITS,
    ),
    "none of too many that still boots": (
        (booting(1, ready_since=0.0, available=True), fresh(2), fresh(3)),
        {},
        WAITS,
    ),
    "the end": ((fresh(3), fresh(4)), {}, ENDS),
    "the end also while it is paused": ((fresh(3), fresh(4)), {"paused": True}, ENDS),
    "no end before the last has left": ((fresh(3), fresh(4), old(2, **GONE)), {}, WAITS),
}
FAILING = {"wanted": FAILED}
ABORTING = {"wanted": ABORTED, "surge": 0}
BACK = {
    "stop what is surplus": ((old(1), old(2), fresh(3, surplus=True)), FAILING, (STOP, 3)),
    "keep what is not": ((old(1), fresh(3)), FAILING, ENDS),
    "in place, stop what had its time to boot": (
        (old(1), booting(3, since=NOW - 60.0)),
        {**FAILING, "surge": 0, "turned_at": NOW},
        (STOP, 3),
    ),
    "in place, keep what was forked since": (
        (old(1), booting(3, since=NOW - 60.0)),
        {**FAILING, "surge": 0, "turned_at": NOW - 61.0},
        ENDS,
    ),
    "in place, keep what is held by its check": (
        (old(1), fresh(3, since=NOW - 60.0, ready_since=None)),
        {**FAILING, "surge": 0, "turned_at": NOW},
        ENDS,
    ),
    "wait for the effect of a signal": (AT_FIRST, {**FAILING, "signalled": True}, WAITS),
    "wait for what is leaving": ((old(1), old(2), fresh(3, **GONE)), FAILING, WAITS),
    "wait for what was killed": (
        (old(1), old(2), fresh(3, **{**GONE, "escalations": 2})),
        FAILING,
        WAITS,
    ),
    "do not wait for what not even KILL has ended": (
        (old(1), old(2), fresh(3, wanted_gone=STOPPED, asked_at=NOW - 70.0, escalations=2)),
        FAILING,
        ENDS,
    ),
    "lower the count where one too many would be replaced": (WITH_FRESH, FAILING, (REMOVE, 1)),
    "lower it by none that still boots": (OLDEST_BOOTS, FAILING, SETTLES),
    "lower it by none that is needed": (WITH_FRESH, {**FAILING, "floor": 3}, SETTLES),
    "do not ask for ever": (WITH_FRESH, {**FAILING, "repeats": REPEATS + 1}, SETTLES),
    "wait for the count": (AT_FIRST, {**FAILING, "count": 3}, SETTLES),
    "wait for those that are counted": ((old(1),), {**FAILING, "count": 2}, SETTLES),
    "an abort in place waits for the last replacement": (
        ONE_OF_EACH,
        {**ABORTING, "turned_at": NOW},
        SETTLES,
    ),
    "and not for ever": (ONE_OF_EACH, {**ABORTING, "turned_at": NOW - 60.0}, ENDS),
    "an abort in place ends once all are ready": (
        (old(1), fresh(3)),
        {**ABORTING, "turned_at": NOW},
        ENDS,
    ),
}


@pytest.mark.parametrize("case", [*FORWARD.items(), *BACK.items()], ids=lambda case: case[0])
def test_what_moves_next(case: tuple[str, tuple[Any, dict[str, Any], object]]) -> None:
    members, more, decision = case[1]
    assert decided(standing(*members, **more)) == decision


def test_a_count_that_does_not_come_back_is_waited_for_and_then_told() -> None:
    at = standing(old(1), old(2), wanted=FAILED, count=3)
    assert next_move(at).until == NOW + SETTLE_SECS
    at = dataclasses.replace(at, settling_since=NOW - SETTLE_SECS + 1)
    assert next_move(at).until == NOW + 1
    move = next_move(dataclasses.replace(at, settling_since=NOW - SETTLE_SECS))
    assert (move.kind, move.why) == (END, "the worker count is 3 with 2 running, 2 are desired")


def test_it_says_until_when_it_waits() -> None:
    killed = fresh(3, **{**GONE, "escalations": 2})
    assert next_move(standing(old(1), old(2), killed, wanted=FAILED)).until == NOW + 70.0
    aborted = standing(old(1), booting(3), surge=0, wanted=ABORTED, turned_at=NOW - 1)
    assert next_move(aborted).until == NOW + 59.0


def test_to_decide_changes_nothing() -> None:
    for members, more, _ in [*FORWARD.values(), *BACK.values()]:
        at = standing(*members, **more)
        before = dataclasses.asdict(at)
        next_move(at)
        assert dataclasses.asdict(at) == before
