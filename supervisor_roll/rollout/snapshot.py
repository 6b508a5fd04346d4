"""A rollout as plain data, so that a restarted listener can carry on where it was."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from supervisor_roll.rollout.arbiter import ArbiterRollout
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.settings import Amount, Budget, Health, Settings
from supervisor_roll.rollout.workers import WorkerRollout

_STRATEGIES: dict[str, type[WorkerRollout] | type[ArbiterRollout]] = {
    shape.strategy: shape for shape in (WorkerRollout, ArbiterRollout)
}


def freeze(rollout: Rollout) -> dict[str, Any]:
    """All that the rollout knows, in types that JSON has."""
    frozen: dict[str, Any] = {name: copy.copy(getattr(rollout, name)) for name in rollout.PLAIN}
    frozen["strategy"] = rollout.strategy
    frozen["settings"] = dataclasses.asdict(rollout.settings)
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
        members = [Instance(**{**one, "id": InstanceId(*one["id"])}) for one in frozen["instances"]]
        rollout: Rollout = _STRATEGIES[frozen["strategy"]](
            thaw_settings(frozen["settings"]), members, frozen["desired"], frozen["now"]
        )
        for name in rollout.PLAIN:
            setattr(rollout, name, frozen[name])
        rollout.budget = Budget(**frozen["budget"])
        signal = frozen["_signal"]
        rollout._signal = signal and (signal[0], signal[1], signal[2] and InstanceId(*signal[2]))
        rollout._gone = {InstanceId(*one) for one in frozen["_gone"]}
        if isinstance(rollout, ArbiterRollout) and frozen["successor"]:
            rollout.successor = InstanceId(*frozen["successor"])
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadMessage(f"not a frozen rollout: {error!r}") from error
    return rollout


def thaw_settings(frozen: dict[str, Any]) -> Settings:
    """The settings that ``dataclasses.asdict`` made plain."""
    health = frozen["health"]
    return Settings(
        **{
            **frozen,
            "watch": tuple(frozen["watch"]),
            "max_surge": Amount(**frozen["max_surge"]),
            "max_unavailable": Amount(**frozen["max_unavailable"]),
            "canary": frozen["canary"] and Amount(**frozen["canary"]),
            "health": None
            if health is None
            else Health(
                **{**health, "headers": tuple((name, value) for name, value in health["headers"])}
            ),
        }
    )
