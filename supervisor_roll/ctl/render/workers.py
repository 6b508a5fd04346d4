"""The workers of the programs under way, one a line, as they are now. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from supervisor_roll.ctl.render.text import ago, clean, first_line, table
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.words import BAKING, BOOTING, DRAINING, FAILED, GONE, READY

# A line, and the state that it tells of; empty if it tells of none.
Line = tuple[str, str]
# In the order in which one wants to see them.
OUTDATED = "outdated"
_STATES = (FAILED, BOOTING, BAKING, DRAINING, OUTDATED, READY)
_HEADING = ("PROGRAM", "STATE", "PID", "AGE", "MEMORY", "BOOT", "RELEASE", "HEALTH")
_MIB = 2**20


def worker_lines(programs: Mapping[str, Sequence[WorkerLife]], now: float, most: int) -> list[Line]:
    """Return ``most`` lines at most; ``now`` is in seconds since the epoch."""
    found = [
        (state, program, one)
        for program, lives in programs.items()
        for one in lives
        if (state := _state(one)) in _STATES
    ]
    if not found or most < 3:
        return []
    found.sort(key=lambda row: (_STATES.index(row[0]), row[1], row[2].began))
    shown = found if len(found) < most else found[: most - 2]
    begin = 0 if len(programs) > 1 else 1
    rows = [_HEADING, *(_row(*row, now) for row in shown)]
    states = ["", *(state for state, _, _ in shown)]
    lines = list(zip(table([row[begin:] for row in rows]), states, strict=True))
    more = Counter(state for state, _, _ in found[len(shown) :])
    if more:
        counts = ", ".join(f"{count} {state}" for state, count in more.items())
        lines.append((f"and {sum(more.values())} more: {counts}", ""))
    return lines


def _state(one: WorkerLife) -> str:
    if one.gone_at is not None and one.state != FAILED:
        return GONE
    return OUTDATED if one.outdated and one.state in (READY, BAKING) else one.state


def _row(state: str, program: str, one: WorkerLife, now: float) -> tuple[str, ...]:
    age = (now if one.gone_at is None else one.gone_at) - one.began
    return (
        program,
        state,
        str(one.pid),
        ago(age),
        f"{one.memory_bytes / _MIB:.0f} MiB" if one.memory_bytes else "",
        f"{one.boot_secs:.2f} s" if one.boot_secs else "",
        one.release,
        clean(first_line(one.how or one.health)),
    )
