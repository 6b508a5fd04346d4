"""What supervisord was told is told again only where it has changed."""

from __future__ import annotations

import dataclasses
import json
from typing import get_type_hints

import pytest

from supervisor_roll.listener.arbiters.arbiter import Worker
from supervisor_roll.listener.rollouts.run import Watched
from supervisor_roll.listener.told import Told
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance

FLAT = dict.fromkeys((Worker, Instance, Watched), vars)


def told(most_chars: int = 1000) -> Told:
    return Told(most_chars, flat=FLAT)


def test_what_has_changed_is_told_once_and_what_is_gone_too() -> None:
    one, worker = told(), Worker(InstanceId(1, 2), 3)
    assert one.changes({"p": {"a": {"x": [1]}, "w": worker}}) == {
        "p": {"a": '{"x": [1]}', "w": json.dumps(vars(worker))}
    }
    assert one.changes({"p": {"a": {"x": [1]}, "w": worker}, "q": {}}) == {}
    worker.ready = True
    assert one.changes({"p": {"a": {"x": [1]}, "w": worker}}) == {
        "p": {"w": json.dumps(vars(worker))}
    }
    assert one.changes({"p": {"w": worker}}) == {"p": {"a": None}}
    assert one.changes({"q": {"w": worker}}) == {"q": {"w": json.dumps(vars(worker))}}
    assert one.changes({"p": {}, "q": {}}) == {"p": {"w": None}, "q": {"w": None}}


def test_a_list_that_has_changed_in_itself_is_told() -> None:
    one, parts = told(), {"a": {"x": [1]}}
    one.changes({"p": parts})
    parts["a"]["x"].append(2)
    assert one.changes({"p": parts}) == {"p": {"a": '{"x": [1, 2]}'}}


@pytest.mark.parametrize("shape", FLAT)
def test_of_what_is_compared_by_its_values_none_changes_in_itself(shape: type) -> None:
    unchanging = {int, str, float, bool, InstanceId, tuple[int, int], float | None}
    assert {get_type_hints(shape)[one.name] for one in dataclasses.fields(shape)} <= unchanging


def test_the_largest_are_left_out_where_not_all_have_room_and_come_back_when_they_have() -> None:
    one = told(most_chars=100)
    small, large = {"a": "x" * 40}, {"a": "x", "b": "y" * 90}
    assert set(one.changes({"small": small})) == {"small"}
    assert one.changes({"large": large}) == {"large": {"a": None, "b": None}}
    assert one.changes({"small": {"a": "x" * 80}}) == {"small": {"a": json.dumps("x" * 80)}}
    assert one.changes({"large": large}) == {"large": {"a": None, "b": None}}
    assert one.changes({"small": {"a": "x"}, "large": {"b": "y" * 90}}) == {
        "small": {"a": '"x"'},
        "large": {"b": json.dumps("y" * 90)},
    }
