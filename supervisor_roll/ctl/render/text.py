"""Facts out of reports, and numbers and reasons in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INDENT = "    "
# A rollout's reason may be a whole traceback; its end says more than its beginning.
_WHY_LINES = 40


class Facts:
    """A report's facts, where one that is missing or of a strange type breaks no line."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.all = facts

    def number(self, key: str) -> float:
        value = self.all.get(key)
        # Not true of NaN either, which JSON lets through.
        return value if isinstance(value, int | float) and abs(value) < 1e15 else 0

    def count(self, key: str) -> int:
        return int(self.number(key))

    def text(self, key: str) -> str:
        value = self.all.get(key)
        return value if isinstance(value, str) else ""

    def texts(self, key: str) -> list[str]:
        value = self.all.get(key)
        return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []

    def pairs(self, key: str) -> dict[str, str]:
        value = self.all.get(key)
        return (
            {name: one for name, one in value.items() if isinstance(one, str)}
            if isinstance(value, dict)
            else {}
        )

    def size(self, key: str) -> int:
        value = self.all.get(key)
        return len(value) if isinstance(value, list) else 0


def clean(text: str) -> str:
    """``text`` without what could move a terminal's cursor or change its colours."""
    return "".join(char if char.isprintable() else INDENT if char == "\t" else "?" for char in text)


def with_why(lead: str, why: str, glue: str = " ") -> list[str]:
    """``lead`` and the first line of a reason in one line, the reason's other lines below it."""
    lines = why_lines(why)
    if not lines:
        return [lead]
    return [f"{lead}{glue}{lines[0].strip()}", *(f"{INDENT}{line}" for line in lines[1:])]


def why_lines(why: str) -> list[str]:
    """The lines of a reason without empty ones; of a very long one, not its middle."""
    lines = [line.rstrip() for line in why.splitlines() if line.strip()]
    if len(lines) > _WHY_LINES:
        lines = [lines[0], "...", *lines[2 - _WHY_LINES :]]
    return lines


def first_line(why: str) -> str:
    """A reason in one line, with dots if there is more of it."""
    lines = why_lines(why)
    return "" if not lines else lines[0].strip() + (" ..." if len(lines) > 1 else "")


def count(number: int, noun: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def secs(secs: float) -> str:
    return f"{secs:.1f} s" if secs < 100 else f"{secs:.0f} s"
