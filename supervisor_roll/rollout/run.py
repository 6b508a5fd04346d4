"""One program's turn in a job: its phases, and what leads from each to the next."""

from __future__ import annotations

from enum import Enum

from supervisor_roll.rollout.errors import IllegalEvent

ADMISSION, PREFLIGHT, ROLLING = "admission", "preflight", "rolling"
ON_FAILURE, ROLLING_BACK, OVER = "on_failure", "rolling back", "over"


class RunEvent(Enum):
    """What happens to a run."""

    CHECKING = "checking"  # its application is being loaded beside it
    LOST = "lost"  # that check, with the listener
    BEGUN = "begun"  # its rollout may move
    FAILED = "failed"  # its rollout has, and on_failure is set
    REPAIRED = "repaired"  # that command has succeeded
    ENDED = "ended"


# A rollback that fails is not repaired in its turn: nothing here is done twice.
TRANSITIONS: dict[str, dict[RunEvent, str]] = {
    ADMISSION: {
        RunEvent.CHECKING: PREFLIGHT,
        RunEvent.BEGUN: ROLLING,
        RunEvent.ENDED: OVER,
    },
    PREFLIGHT: {
        RunEvent.LOST: ADMISSION,
        RunEvent.BEGUN: ROLLING,
        RunEvent.FAILED: ON_FAILURE,
        RunEvent.ENDED: OVER,
    },
    ROLLING: {RunEvent.FAILED: ON_FAILURE, RunEvent.ENDED: OVER},
    ON_FAILURE: {RunEvent.REPAIRED: ROLLING_BACK, RunEvent.ENDED: OVER},
    ROLLING_BACK: {RunEvent.ENDED: OVER},
    OVER: {},
}


def following(phase: str, event: RunEvent) -> str:
    """Return the phase that ``event`` leads to. Raises IllegalEvent."""
    try:
        return TRANSITIONS[phase][event]
    except KeyError:
        raise IllegalEvent(f"{event.value}: not in the phase {phase}") from None
