"""A rollout as plain data, so that a restarted listener can carry on where it was."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.settings import Amount, Health, Settings

_PLAIN = ("desired", "count", "began", "now", "total", "floor", "min_ready", "became_available",
          "cleared", "state", "wanted", "why", "ended", "replaced", "_short_since", "_unheard",
          "_turned_at", "_settling_since", "_olds", "_news", "_deadlines")


def freeze(rollout: Rollout) -> dict[str, Any]:
    """All that the rollout knows, in types that JSON has."""
    frozen: dict[str, Any] = {name: copy.copy(getattr(rollout, name)) for name in _PLAIN}
    frozen["settings"] = dataclasses.asdict(rollout.settings)
    frozen["instances"] = [dataclasses.asdict(one) for one in rollout.instances]
    frozen["_signal"] = rollout._signal
    frozen["_gone"] = sorted(rollout._gone)
    return frozen


def thaw(frozen: dict[str, Any]) -> Rollout:
    """The rollout that ``freeze`` gave. Raises BadMessage where it is not one."""
    try:
        members = [Instance(**{**one, "id": InstanceId(*one["id"])}) for one in frozen["instances"]]
        rollout = Rollout(thaw_settings(frozen["settings"]), members, frozen["desired"],
                          frozen["now"])
        for name in _PLAIN:
            setattr(rollout, name, frozen[name])
        signal = frozen["_signal"]
        rollout._signal = signal and (
            signal[0], signal[1], signal[2] and InstanceId(*signal[2]))
        rollout._gone = {InstanceId(*one) for one in frozen["_gone"]}
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadMessage(f"not a frozen rollout: {error!r}") from error
    return rollout


def thaw_settings(frozen: dict[str, Any]) -> Settings:
    """The settings that ``dataclasses.asdict`` made plain."""
    health = frozen["health"]
    return Settings(**{
        **frozen,
        "max_surge": Amount(**frozen["max_surge"]),
        "max_unavailable": Amount(**frozen["max_unavailable"]),
        "canary": frozen["canary"] and Amount(**frozen["canary"]),
        "health": None if health is None else Health(**{
            **health, "headers": tuple((name, value) for name, value in health["headers"])}),
    })
