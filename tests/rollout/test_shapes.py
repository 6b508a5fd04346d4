"""What does not fit an annotation is refused, whatever it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId, Whose
from supervisor_roll.rollout.shapes import built, fitting


@dataclass
class Inner:
    number: int


@dataclass
class Outer:
    text: str
    inner: Inner
    pair: tuple[int, float]
    many: list[InstanceId] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)
    whose: Whose | None = None
    anything: Any = None


GOOD: dict[str, Any] = {"text": "x", "inner": {"number": 1}, "pair": [1, 2]}


def test_what_fits_is_built_of_what_json_has_and_what_is_unknown_is_ignored() -> None:
    more = {"many": [[7, 8]], "named": {"a": 1}, "whose": "successor", "anything": [None], "new": 1}
    assert built(Outer, json.loads(json.dumps({**GOOD, **more}))) == Outer(
        "x", Inner(1), (1, 2.0), [InstanceId(7, 8)], {"a": 1}, Whose.SUCCESSOR, [None]
    )
    assert built(Outer, {**GOOD, "whose": None}).whose is None


@pytest.mark.parametrize(
    "more",
    [
        {"text": 1},
        {"inner": 3},
        {"inner": {}},
        {"inner": {"number": True}},
        {"inner": {"number": 2**63}},
        {"pair": [1]},
        {"pair": "12"},
        {"pair": [1, float("nan")]},
        {"many": 7},
        {"many": [[7]]},
        {"named": []},
        {"whose": "nobody"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        built(Outer, {**GOOD, **more})


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    hint: Any = int
    for _ in range(2000):
        deep, hint = [deep], list[hint]
    with pytest.raises(BadMessage, match="it is nested too deeply"):
        fitting(hint, deep, "it")
