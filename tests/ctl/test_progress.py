"""How far a rollout has come, and how long the rest takes by the boots that were measured."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_roll.ctl.progress import Progress
from supervisor_roll.wire.mailbox import Report

BEGAN = {"workers": 8, "desired": 8, "max_surge": 2, "max_unavailable": 0}


def progress(*told: tuple[float, str, dict[str, Any]]) -> Progress:
    made = Progress()
    for at, kind, facts in told:
        made.take(Report("1", "myapp", kind, facts), at)
    return made


def replaced(at: float, done: int, boot_secs: float = 3.0) -> tuple[float, str, dict[str, Any]]:
    return at, "replaced", {"done": done, "total": 8, "boot_secs": boot_secs}


@pytest.mark.parametrize(
    ("began", "told", "now", "boots", "left"),
    [
        ({}, [], 10.0, [], ""),
        ({}, [], 10.0, [3.0, 3.0, 9.0], "12 s"),  # 4 steps of the median
        ({}, [], 12.0, [3.0], "10 s"),
        ({}, [replaced(13, 2, 5.0)], 13.0, [3.0], "15 s"),  # its own boots say more
        ({}, [replaced(13, 8)], 13.0, [3.0], ""),
        ({}, [replaced(13, 7)], 99.0, [3.0], "1 s"),
        ({"min_ready_secs": 10.0}, [], 10.0, [3.0], "52 s"),
        ({"min_ready_secs": 10.0, "canary": 1}, [], 10.0, [3.0], "22 s"),
        ({"min_ready_secs": 10.0, "canary": 1}, [replaced(23, 2)], 23.0, [], "9 s"),
        ({"max_surge": 0, "max_unavailable": 1}, [replaced(14, 7)], 14.0, [], "3 s"),
        ({"strategy": "arbiter", "workers": 3, "max_surge": 8}, [], 10.0, [3.0], "3 s"),
        ({}, [(11.0, "broken", {"why": "no"})], 11.0, [3.0], ""),
    ],
)
def test_the_rest_is_estimated(
    began: dict[str, Any], told: list[Any], now: float, boots: list[float], left: str
) -> None:
    line = progress((10.0, "began", {**BEGAN, **began}), *told).line(now, boots)
    assert line.partition("about ")[2].removesuffix(" left") == left


def test_one_line_is_about_all_that_is_under_way() -> None:
    made = progress((10.0, "began", BEGAN), replaced(20.0, 4))
    assert made.line(75.0, full="#") == (
        f"myapp  4/8 workers  |{'#' * 15}{' ' * 15}|  01:05  about 1 s left"
    )
    made.take(Report("1", "web:a", "began", {**BEGAN, "workers": 2}), 75.0)
    assert made.line(3700.0).startswith("2 programs  4/10 workers  |\u2588")
    assert "|  1:01:30" in made.line(3700.0)
    made.take(Report("1", "web:a", "broken", {"why": "no boot\nOops"}), 75.0)
    assert made.broken == ["web:a: no boot ..."]
    for program in ("web:a", "myapp", "never begun"):
        made.take(Report("1", program, "failed", {}), 80.0)
    assert (made.programs, made.broken) == ([], [])
