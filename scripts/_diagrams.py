"""Draw the diagrams of the docs from the tables that the code goes by."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from supervisor_roll.rollout import phases, run  # noqa: E402

PAGE = ROOT / "docs" / "how-it-works.rst"
#: What stands after ``.. diagram: NAME`` on the page, up to the next line that is not indented.
TABLES: dict[str, Mapping[str, Mapping[Any, str]]] = {
    "rollout": phases.TRANSITIONS,
    "run": run.TRANSITIONS,
}
COLUMN = 12


def drawn(table: Mapping[str, Mapping[Any, str]]) -> list[str]:
    """A column for each state, and an arrow for what leads from one to another."""
    at = {state: COLUMN // 2 + COLUMN * index for index, state in enumerate(table)}
    lines = ["".join(state.center(COLUMN) for state in table)]
    for state, transitions in table.items():
        for after in dict.fromkeys(transitions.values()):
            causes = [str(cause.value) for cause, to in transitions.items() if to == after]
            lines.append(_arrow(at, at[state], at[after], ", ".join(causes)))
    return [line.rstrip() for line in lines]


def _arrow(at: Mapping[str, int], start: int, end: int, label: str) -> str:
    line = ["|" if place in at.values() else " " for place in range(COLUMN * len(at))]
    left, right = sorted((start, end))
    line[left + 1 : right] = label.center(right - left - 2, "-").rjust(right - left - 1, "-")
    if end == right:
        line[right - 1] = ">"
    else:
        line[left + 1] = "<"
    return "".join(line)


def updated(page: str) -> str:
    """The page with its diagrams drawn anew."""
    for name, table in TABLES.items():
        text = "\n".join(f"    {line}" for line in drawn(table))
        mark = f".. diagram: {name}, drawn by scripts/diagrams\n"
        page = re.sub(
            rf"{re.escape(mark)}\n::\n\n(?:(?:    .*)?\n)*(?=\S)", f"{mark}\n::\n\n{text}\n\n", page
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
