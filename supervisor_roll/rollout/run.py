"""One program's turn in a job: its phases, and what leads from each to the next."""

from __future__ import annotations

from supervisor_roll.rollout.errors import IllegalEvent

ADMISSION, PREFLIGHT, ROLLING = "admission", "preflight", "rolling"
ON_FAILURE, ROLLING_BACK, OVER = "on_failure", "rolling back", "over"

CHECKING = "its application is being loaded beside it"
LOST = "the check was lost with the listener"
BEGUN = "its rollout may move"
REPAIRING = "its rollout failed, and on_failure is set"
REPAIRED = "the command has succeeded"
ENDED = "it has ended"

# A rollback that fails is not repaired in its turn: nothing here is done twice.
NEXT: dict[str, dict[str, str]] = {
    ADMISSION: {CHECKING: PREFLIGHT, BEGUN: ROLLING, ENDED: OVER},
    PREFLIGHT: {LOST: ADMISSION, BEGUN: ROLLING, REPAIRING: ON_FAILURE, ENDED: OVER},
    ROLLING: {REPAIRING: ON_FAILURE, ENDED: OVER},
    ON_FAILURE: {REPAIRED: ROLLING_BACK, ENDED: OVER},
    ROLLING_BACK: {ENDED: OVER},
    OVER: {},
}


def following(phase: str, event: str) -> str:
    """Return the phase that ``event`` leads to. Raises IllegalEvent."""
    try:
        return NEXT[phase][event]
    except KeyError:
        raise IllegalEvent(f"{event}: not in the phase {phase}") from None
