"""A rollout as plain data, so that a restarted listener can carry on where it was."""

from __future__ import annotations

from typing import Any

from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.errors import BadMessage, RollError
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.phases import TRANSITIONS
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from supervisor_roll.wire.codec import from_data

_STRATEGIES: dict[str, type[Rollout]] = {
    shape.strategy: shape for shape in (WorkerRollout, ArbiterRollout)
}

# What only the configuration may say is not saved, and not believed if it was.
_CONFIGURED_ONLY = (
    "on_failure",
    "release",
    "watch",
    "health",
    "agent_listen",
    "status_path",
    "haproxy_socket",
    "haproxy_server",
)


def to_json(rollout: Rollout) -> dict[str, Any]:
    """Return all that the rollout knows, for ``wire.codec.to_json``."""
    return {
        "strategy": rollout.strategy,
        **vars(rollout),
        "settings": as_asked(rollout.settings),
    }


def from_json(saved: dict[str, Any]) -> Rollout:
    """Return the rollout that ``to_json`` gave. Raises BadMessage where it is not one."""
    try:
        settings = _asked(saved["settings"])
        rollout = from_data(_STRATEGIES[saved["strategy"]], {**saved, "settings": settings})
    except (KeyError, TypeError, AttributeError, RollError) as error:
        raise BadMessage(f"not a saved rollout: {error!r}") from error
    if rollout.phase not in TRANSITIONS:
        raise BadMessage(f"not a saved rollout: phase {rollout.phase!r:.80}")
    return rollout


def as_asked(settings: Settings) -> dict[str, Any]:
    """Return them without what only the configuration may say."""
    return _asked(vars(settings))


def _asked(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _CONFIGURED_ONLY}
