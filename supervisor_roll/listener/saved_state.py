"""What an earlier listener has saved, as far as it can be used."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from supervisor_roll.rollout.errors import RollError

log = logging.getLogger("supervisor_roll")
_T = TypeVar("_T")


def saved(text: str) -> dict[str, Any]:
    """Return the state in ``text``, as far as it is one."""
    try:
        state = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        log.error("what an earlier listener saved is lost: %s", error)
        return {}
    if not isinstance(state, dict):
        log.error("what an earlier listener saved is lost: %.80r is not an object", state)
        return {}
    return state


def usable(state: dict[str, Any], key: str, thawed: Callable[[Any], _T]) -> list[_T]:
    """Return what can be used of what an earlier listener, perhaps of another version, saved."""
    found, fit = state.get(key, []), []
    if not isinstance(found, list):
        log.error("the %s that an earlier listener saved are lost: %.80r is no list", key, found)
        return []
    for one in found:
        try:
            fit.append(thawed(one))
        except (
            RollError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            log.error("one of the %s that an earlier listener saved is lost: %.300r", key, error)
    return fit
