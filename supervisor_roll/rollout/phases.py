"""The phases of a rollout, and what leads from one to the next.

What the operator is told (``progressing``, ``paused``, ``complete``, ...) and how the rollout is to
end are derived from the phase. What may move next is not: that is derived at each step from
the instances, by ``worker_plan`` and ``arbiter_plan``.
"""

from __future__ import annotations

from enum import Enum

from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, FINAL, PAUSED, PROGRESSING

FAILING, ABORTING = "failing", "aborting"  # what the rollout started is being taken back
PROMOTED = "promoted"  # strategy arbiter: the successor serves, and the old arbiter drains


class Cause(str, Enum):
    """What leads from one phase to another."""

    PAUSE = "pause"
    RESUME = "resume"
    FAILURE = "failure"
    ABORT = "abort"
    PROMOTION = "promotion"
    LOSS = "arbiter lost"  # the only arbiter, or the promoted one, has exited
    DONE = "done"  # nothing is left to do


# What is not listed is ignored: so the first reason to end stays, and nothing ends twice.
TRANSITIONS: dict[str, dict[Cause, str]] = {
    PROGRESSING: {
        Cause.PAUSE: PAUSED,
        Cause.FAILURE: FAILING,
        Cause.ABORT: ABORTING,
        Cause.PROMOTION: PROMOTED,
        Cause.LOSS: FAILED,
        Cause.DONE: COMPLETE,
    },
    PAUSED: {
        Cause.RESUME: PROGRESSING,
        Cause.FAILURE: FAILING,
        Cause.ABORT: ABORTING,
        Cause.PROMOTION: PROMOTED,
        Cause.LOSS: FAILED,
        Cause.DONE: COMPLETE,
    },
    FAILING: {Cause.PROMOTION: PROMOTED, Cause.LOSS: FAILED, Cause.DONE: FAILED},
    ABORTING: {Cause.PROMOTION: PROMOTED, Cause.LOSS: ABORTED, Cause.DONE: ABORTED},
    PROMOTED: {Cause.LOSS: FAILED, Cause.DONE: COMPLETE},
    COMPLETE: {},
    FAILED: {},
    ABORTED: {},
}


def state_of(phase: str) -> str:
    """Return what the operator is told of a rollout in ``phase``."""
    return phase if phase == PAUSED or phase in FINAL else PROGRESSING


def outcome_of(phase: str) -> str:
    """How a rollout in ``phase`` is to end."""
    return {FAILING: FAILED, ABORTING: ABORTED}.get(phase, phase if phase in FINAL else COMPLETE)
