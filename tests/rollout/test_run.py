"""A run's phases."""

from __future__ import annotations

import pytest

from supervisor_roll.rollout.errors import IllegalEvent
from supervisor_roll.rollout.run import (
    ADMISSION,
    BEGUN,
    CHECKING,
    ENDED,
    NEXT,
    ON_FAILURE,
    OVER,
    PREFLIGHT,
    REPAIRED,
    REPAIRING,
    ROLLING,
    ROLLING_BACK,
    following,
)


@pytest.mark.parametrize(
    ("events", "phases"),
    [
        ([ENDED], [OVER]),
        ([BEGUN, ENDED], [ROLLING, OVER]),
        ([CHECKING, BEGUN, ENDED], [PREFLIGHT, ROLLING, OVER]),
        ([CHECKING, REPAIRING, ENDED], [PREFLIGHT, ON_FAILURE, OVER]),
        (
            [BEGUN, REPAIRING, REPAIRED, ENDED],
            [ROLLING, ON_FAILURE, ROLLING_BACK, OVER],
        ),
    ],
)
def test_each_event_leads_to_its_phase(events: list[str], phases: list[str]) -> None:
    phase, found = ADMISSION, []
    for event in events:
        phase = following(phase, event)
        found.append(phase)
    assert found == phases


@pytest.mark.parametrize(
    ("phase", "event"),
    [(ROLLING_BACK, REPAIRING), (ON_FAILURE, REPAIRING), (OVER, ENDED), (ROLLING, CHECKING)],
)
def test_nothing_is_done_twice(phase: str, event: str) -> None:
    with pytest.raises(IllegalEvent, match=phase):
        following(phase, event)


def test_each_phase_leads_to_the_end() -> None:
    assert all(ENDED in NEXT[phase] for phase in NEXT if phase != OVER)
    assert {to for leads in NEXT.values() for to in leads.values()} == set(NEXT)
