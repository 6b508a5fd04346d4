"""Numbers and reasons in words. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

from supervisor_roll.wire.printable import printable

INDENT = "    "


def clean(text: str) -> str:
    """``text`` without what could move a terminal's cursor or change its colours."""
    return printable(text.replace("\t", INDENT))


def with_why(lead: str, why: str, glue: str = " ") -> list[str]:
    """``lead`` and the first line of a reason in one line, the reason's other lines below it."""
    lines = why_lines(why)
    if not lines:
        return [lead]
    return [f"{lead}{glue}{lines[0].strip()}", *(f"{INDENT}{line}" for line in lines[1:])]


def why_lines(why: str) -> list[str]:
    """Return the lines of a reason without empty ones."""
    return [line.rstrip() for line in why.splitlines() if line.strip()]


def first_line(why: str) -> str:
    """Return a reason in one line, with dots if there is more of it."""
    lines = why_lines(why)
    return "" if not lines else lines[0].strip() + (" ..." if len(lines) > 1 else "")


def count(number: int, noun: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def secs(secs: float) -> str:
    return f"{secs:.1f} s" if secs < 100 else f"{secs:.0f} s"


def ago(secs: float) -> str:
    """Say how long, in the largest unit of which there are two."""
    secs = max(secs, 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if secs >= 2 * size:
            return f"{secs / size:.0f} {unit}"
    return f"{secs:.0f} s"


def moment(at: float) -> str:
    """Say when ``at``, in seconds since the epoch, is by the clock here."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return f"{at:.0f} s after the epoch"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ((cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [clean("  ".join(cells).rstrip()) for cells in padded]
