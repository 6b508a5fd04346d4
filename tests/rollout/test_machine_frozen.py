"""Illegal events change nothing, and a frozen rollout carries on as it was."""

from __future__ import annotations

import json
import math

import pytest

from supervisor_roll.listener.rollouts.saved_rollout import from_json, to_json
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.errors import BadMessage, IllegalEvent
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.timing import LOOK_SECS
from supervisor_roll.rollout.words import FAILED
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from tests.rollout.history import History


@pytest.mark.parametrize(
    ("event", "now"),
    [
        (ev.Counted(-1), 5.0),
        (ev.BecameReady(InstanceId(1003, 3), -1.0), 5.0),
        (ev.BecameReady(InstanceId(1003, 3), math.nan), 5.0),
        (ev.TimePassed(), 4.9),
        (ev.TimePassed(), math.nan),
        ("TimePassed", 5.0),
    ],
)
def test_an_illegal_event_raises_and_changes_nothing(event: ev.Event, now: float):
    history = History.begun(2)
    history.wait(5.0)
    before = json.dumps(to_json(history.rollout), default=vars)
    with pytest.raises(IllegalEvent):
        history.rollout.handle(event, now)
    assert json.dumps(to_json(history.rollout), default=vars) == before


@pytest.mark.parametrize(
    "event",
    [
        ev.Started(InstanceId(9, 9), 9),
        ev.Loaded(InstanceId(1001, 1)),
        ev.BecameReady(InstanceId(1001, 1), 1.0),
        ev.BecameUnready(InstanceId(1001, 1), "503"),
        ev.BootFailed(InstanceId(1001, 1), "x"),
        ev.Exited(InstanceId(1001, 1)),
        ev.Counted(3),
        ev.ArbiterExited("gone"),
        ev.Aborted("me"),
        ev.TimePassed(),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_rollout_that_has_ended_takes_no_event(event: ev.Event):
    history = History.begun(2)
    history.exit(3)
    assert history.rollout.state == FAILED
    before = json.dumps(to_json(history.rollout), default=vars)
    with pytest.raises(IllegalEvent, match=f"{type(event).__name__} to a rollout that is failed"):
        history.rollout.handle(event, history.now + 1)
    assert json.dumps(to_json(history.rollout), default=vars) == before


def test_a_thawed_rollout_knows_its_settings_and_its_next_deadline():
    settings = Settings.parsed({"max_surge": "25%", "canary": "2", "min_ready_secs": "3"})
    rollout = WorkerRollout.of(settings, History(3).arbiter.snapshot(), 3, 2.0)
    rollout.begin()
    thawed = from_json(json.loads(json.dumps(to_json(rollout), default=vars)))
    assert thawed.settings == settings
    assert thawed.next_deadline == rollout.next_deadline == 2.0 + LOOK_SECS
    assert json.dumps(to_json(thawed), default=vars) == json.dumps(to_json(rollout), default=vars)


def test_what_only_the_configuration_may_say_is_neither_saved_nor_believed():
    only = {"on_failure": "id", "release": "id", "watch": "/a", "health": "/"}
    settings = Settings.parsed({**only, "max_surge": "2"})
    rollout = WorkerRollout.of(settings, History(3).arbiter.snapshot(), 3, 2.0)
    frozen = json.loads(json.dumps(to_json(rollout), default=vars))
    assert from_json(frozen).settings == Settings.parsed({"max_surge": "2"})
    frozen["settings"] |= {"on_failure": "id", "release": "id", "watch": ["/a"]}
    assert from_json(frozen).settings == Settings.parsed({"max_surge": "2"})


@pytest.mark.parametrize("frozen", [{}, [], None, {"instances": 3}, {"instances": [{"id": 3}]}])
def test_what_is_no_frozen_rollout_is_a_bad_message(frozen: object):
    with pytest.raises(BadMessage, match="not a saved rollout"):
        from_json(frozen)


def test_a_saved_rollout_in_a_phase_that_there_is_not_is_a_bad_message():
    saved = json.loads(json.dumps(to_json(History(2).rollout), default=vars))
    with pytest.raises(BadMessage, match="phase 'sleeping'"):
        from_json({**saved, "phase": "sleeping"})
