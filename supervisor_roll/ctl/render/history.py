"""What rollhistory shows: a table of rollouts that have ended, or one of them whole. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

from supervisor_roll.ctl.render.reports import report_lines
from supervisor_roll.ctl.render.text import INDENT, clean, first_line, moment, secs, table, with_why
from supervisor_roll.ctl.render.traceback import in_brief
from supervisor_roll.rollout.reports import Broken, Outcome, Past
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire.mailbox import Report

_HEADING = ("NO", "BEGAN", "PROGRAM", "VERDICT", "REPLACED", "TOOK", "RELEASE", "ASKED BY")


def history_table(found: Sequence[Report]) -> list[str]:
    """One rollout a line under a heading; below one that is not complete, why."""
    rows, whys = [_HEADING], [""]
    for report in found:
        past = _past(report)
        took = secs(past.secs) if past.secs else ""
        rows.append(
            (
                str(past.id),
                moment(past.began),
                report.program,
                past.verdict,
                _replaced(past),
                took,
                _release(past),
                _by(past),
            )
        )
        whys.append("" if past.verdict == COMPLETE else first_line(past.why))
    lines = []
    for line, why in zip(table(rows), whys, strict=True):
        lines += [line, clean(INDENT + why)] if why else [line]
    return lines


def one_rollout(past: Report, told: Sequence[Report], whole: bool = False) -> list[str]:
    """Say all of one rollout, with what was reported of it at the time.

    ``whole``: with all frames of tracebacks.
    """
    facts = _past(past) if whole else in_brief(_past(past))
    lines = [
        f"{past.program}: {facts.verdict}",
        f"  began     {moment(facts.began)}",
        f"  asked by  {_by(facts)}",
    ]
    if facts.total:
        strategy = f", strategy {facts.strategy}" if facts.strategy else ""
        lines.append(f"  replaced  {_replaced(facts)} in {secs(facts.secs)}{strategy}")
    if _release(facts):
        lines.append(f"  release   {_release(facts)}")
    if facts.boot_max_secs:
        half, most = facts.boot_p50_secs, facts.boot_max_secs
        lines.append(f"  boots     {half:.2f} s at the median, {most:.2f} s at most")
    if facts.why:
        lines += [f"  {line}" for line in with_why("why      ", facts.why)]
    lines.append("")
    why = ""
    for report in told:
        clock = time.strftime("%H:%M:%S", time.localtime(report.at))
        first, *rest = report_lines(report, why, whole)
        lines += [f"{clock}  {first}", *(f"{'':10}{line}" for line in rest)]
        if isinstance(report.content, Broken | Outcome):
            why = report.content.why
    return [clean(line) for line in lines]


def _past(report: Report) -> Past:
    return report.content if isinstance(report.content, Past) else Past()


def _by(past: Past) -> str:
    return f"{past.by}: recycled" if past.recycling else past.by


def _replaced(past: Past) -> str:
    return f"{past.replaced}/{past.total}" if past.total else ""


def _release(past: Past) -> str:
    before, after = past.release_before, past.release_after
    return before if before == after or not after else f"{before or '?'} -> {after}"
