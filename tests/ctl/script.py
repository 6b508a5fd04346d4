"""A rollout as the scripted listener tells it, and how supervisorctl shows it."""

from __future__ import annotations

from typing import Any

BEGAN = {
    "workers": 2,
    "desired": 2,
    "ready": 2,
    "max_surge": 1,
    "max_unavailable": 0,
    "arbiter": 4000,
    "strategy": "workers",
}
ENDED = {
    "why": "",
    "secs": 12.42,
    "replaced": 2,
    "total": 2,
    "min_ready": 2,
    "desired": 2,
    "count": 2,
    "outdated": [],
    "fresh": [11, 12],
}
COMPLETE_OUTPUT = """\
{0}: rolling 2 workers (surge 1, unavailable 0)
{0}: 1/2  worker 1 -> 11  booted in 3.05 s  health 200 OK
{0}: 2/2  worker 2 -> 12  booted in 3.10 s  health 200 OK
{0}: complete: 2 workers replaced in 12.4 s, never fewer than 2 ready
"""


def replaced(done: int) -> dict[str, Any]:
    return {
        "old": done,
        "new": 10 + done,
        "boot_secs": 3 + done * 0.05,
        "health": "200 OK",
        "done": done,
        "total": 2,
    }


def complete(program: str) -> list[list[Any]]:
    return [
        ["report", program, "began", BEGAN],
        ["report", program, "replaced", replaced(1)],
        ["report", program, "replaced", replaced(2)],
        ["report", program, "complete", ENDED],
    ]
