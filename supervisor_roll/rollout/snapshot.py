"""A rollout as plain data, so that a restarted listener can carry on where it was."""

from __future__ import annotations

import dataclasses
from typing import Any

from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.errors import BadMessage, RollError
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.phases import TRANSITIONS
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.shapes import built
from supervisor_roll.rollout.worker_rollout import WorkerRollout

_STRATEGIES: dict[str, type[Rollout]] = {
    shape.strategy: shape for shape in (WorkerRollout, ArbiterRollout)
}

# What only the configuration may say is not saved, and not believed if it was.
_CONFIGURED_ONLY: dict[str, Any] = {"on_failure": "", "release": "", "watch": (), "health": None}


def to_json(rollout: Rollout) -> dict[str, Any]:
    """All that the rollout knows, in types that JSON has."""
    settings = dataclasses.replace(rollout.settings, **_CONFIGURED_ONLY)
    saved = dataclasses.asdict(dataclasses.replace(rollout, settings=settings))
    return {"strategy": rollout.strategy, **saved}


def from_json(saved: dict[str, Any]) -> Rollout:
    """Return the rollout that ``to_json`` gave. Raises BadMessage where it is not one."""
    try:
        shape = _STRATEGIES[saved["strategy"]]
        settings = {**saved["settings"], **_CONFIGURED_ONLY}
        rollout = built(shape, saved, settings=built(Settings, settings))
    except (KeyError, TypeError, AttributeError, RollError) as error:
        raise BadMessage(f"not a saved rollout: {error!r}") from error
    if rollout.phase not in TRANSITIONS:
        raise BadMessage(f"not a saved rollout: phase {rollout.phase!r:.80}")
    return rollout
