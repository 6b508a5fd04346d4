"""A rollout as plain data, so that a restarted listener can carry on where it was."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from supervisor_roll.rollout.arbiter import ArbiterRollout
from supervisor_roll.rollout.errors import BadMessage, RollError
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.machine import (
    Rollout,
)
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.shapes import built, fitting
from supervisor_roll.rollout.words import FINAL, PAUSED, PROGRESSING
from supervisor_roll.rollout.worker_rollout import WorkerRollout

_STRATEGIES: dict[str, type[WorkerRollout] | type[ArbiterRollout]] = {
    shape.strategy: shape for shape in (WorkerRollout, ArbiterRollout)
}

# What only the configuration may say is not saved, and not believed if it was.
_CONFIGURED_ONLY: dict[str, Any] = {"on_failure": "", "release": "", "watch": (), "health": None}
_SINCE = float | None
# Of each of a rollout's PLAIN.
PLAIN_TYPES: dict[str, Any] = {
    **dict.fromkeys(("desired", "count", "total", "floor", "min_ready", "replaced"), int),
    **dict.fromkeys(("became_available", "goal", "first", "successor_count"), int),
    **dict.fromkeys(("_repeats", "_given_back"), int),
    **dict.fromkeys(("began", "now"), float),
    **dict.fromkeys(("cleared", "promoted", "old_gone", "_shrunk", "_forced"), bool),
    **dict.fromkeys(("state", "wanted", "why", "_asked", "_unrecoverable_why"), str),
    **dict.fromkeys(("ended", "_turned_at", "_short_since"), _SINCE),
    **dict.fromkeys(
        ("_settling_since", "_unmet_since", "_differs_since", "_looked_at", "_kept_since"), _SINCE
    ),
    "_olds": list[int],
    "_news": list[tuple[int, float, str]],
    "_deadlines": list[float],
    "_crashed_worker": tuple[float, int, str] | None,
}


def freeze(rollout: Rollout) -> dict[str, Any]:
    """All that the rollout knows, in types that JSON has."""
    frozen: dict[str, Any] = {name: copy.copy(getattr(rollout, name)) for name in rollout.PLAIN}
    frozen["strategy"] = rollout.strategy
    frozen["settings"] = dataclasses.asdict(
        dataclasses.replace(rollout.settings, **_CONFIGURED_ONLY)
    )
    frozen["budget"] = dataclasses.asdict(rollout.budget)
    frozen["instances"] = [dataclasses.asdict(one) for one in rollout.instances]
    frozen["_signal"] = rollout._signal
    frozen["_gone"] = sorted(rollout._gone)
    if isinstance(rollout, ArbiterRollout):
        frozen["successor"] = rollout.successor
    return frozen


def thaw(frozen: dict[str, Any]) -> Rollout:
    """The rollout that ``freeze`` gave. Raises BadMessage where it is not one."""
    try:
        shape = _STRATEGIES[frozen["strategy"]]
        members = fitting(list[Instance], frozen["instances"], "instances")
        rollout: Rollout = shape(
            thaw_settings(frozen["settings"]),
            members,
            fitting(int, frozen["desired"], "desired"),
            fitting(float, frozen["now"], "now"),
        )
        for name in shape.PLAIN:
            setattr(rollout, name, fitting(PLAIN_TYPES[name], frozen[name], name))
        if rollout.state not in (PROGRESSING, PAUSED, *FINAL) or rollout.wanted not in FINAL:
            raise BadMessage(f"state: {rollout.state}, wanted: {rollout.wanted}")
        rollout.budget = fitting(Budget, frozen["budget"], "budget")
        rollout._signal = fitting(
            tuple[str, float, InstanceId | None] | None, frozen["_signal"], "_signal"
        )
        rollout._gone = set(fitting(list[InstanceId], frozen["_gone"], "_gone"))
        if isinstance(rollout, ArbiterRollout):
            rollout.successor = fitting(InstanceId | None, frozen["successor"], "successor")
    except (KeyError, TypeError, AttributeError, IndexError, RollError) as error:
        raise BadMessage(f"not a frozen rollout: {error!r}") from error
    return rollout


def thaw_settings(frozen: dict[str, Any]) -> Settings:
    """What ``freeze`` kept of the settings: no command, path or health check among it."""
    kept = {key: value for key, value in frozen.items() if key not in _CONFIGURED_ONLY}
    return built(Settings, kept)
