"""A run's phases."""

from __future__ import annotations

import pytest

from supervisor_roll.rollout.errors import IllegalEvent
from supervisor_roll.rollout.run import (
    ADMISSION,
    ON_FAILURE,
    OVER,
    PREFLIGHT,
    ROLLING,
    ROLLING_BACK,
    TRANSITIONS,
    RunEvent,
    following,
)


@pytest.mark.parametrize(
    ("events", "phases"),
    [
        ([RunEvent.ENDED], [OVER]),
        ([RunEvent.BEGUN, RunEvent.ENDED], [ROLLING, OVER]),
        ([RunEvent.CHECKING, RunEvent.BEGUN, RunEvent.ENDED], [PREFLIGHT, ROLLING, OVER]),
        ([RunEvent.CHECKING, RunEvent.FAILED, RunEvent.ENDED], [PREFLIGHT, ON_FAILURE, OVER]),
        (
            [RunEvent.BEGUN, RunEvent.FAILED, RunEvent.REPAIRED, RunEvent.ENDED],
            [ROLLING, ON_FAILURE, ROLLING_BACK, OVER],
        ),
    ],
)
def test_each_event_leads_to_its_phase(events: list[RunEvent], phases: list[str]) -> None:
    phase, found = ADMISSION, []
    for event in events:
        phase = following(phase, event)
        found.append(phase)
    assert found == phases


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        (ROLLING_BACK, RunEvent.FAILED),
        (ON_FAILURE, RunEvent.FAILED),
        (OVER, RunEvent.ENDED),
        (ROLLING, RunEvent.CHECKING),
    ],
)
def test_nothing_is_done_twice(phase: str, event: RunEvent) -> None:
    with pytest.raises(IllegalEvent, match=phase):
        following(phase, event)


def test_each_phase_leads_to_the_end() -> None:
    assert all(RunEvent.ENDED in TRANSITIONS[phase] for phase in TRANSITIONS if phase != OVER)
    assert {to for leads in TRANSITIONS.values() for to in leads.values()} == set(TRANSITIONS)
