"""What rollhistory shows: a table of rollouts that have ended, or one of them whole. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

from supervisor_roll.ctl.render.past import asked_by, past_of, release, replaced
from supervisor_roll.ctl.render.reports import report_lines
from supervisor_roll.ctl.render.text import INDENT, clean, first_line, moment, secs, table, with_why
from supervisor_roll.ctl.render.traceback import in_brief
from supervisor_roll.rollout.reports import Broken, Outcome, Past, WorkerLife
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire.mailbox import Report

_HEADING = (
    *("NO", "BEGAN", "PROGRAM", "VERDICT", "REPLACED", "TOOK", "STRATEGY"),
    *("BOOT P50/MAX", "RELEASE", "ASKED BY"),
)

_LIVES = ("WORKER", "IS", "RELEASE", "BEGAN", "BOOT", "SERVED", "DRAIN", "STATE")


def history_table(found: Sequence[Report]) -> list[str]:
    """One rollout a line under a heading; below one that is not complete, why."""
    rows, whys = [_HEADING], [""]
    for report in found:
        past = past_of(report)
        took = secs(past.secs) if past.secs else ""
        rows.append(
            (
                str(past.id),
                moment(past.began),
                report.program,
                past.verdict,
                replaced(past),
                took,
                past.strategy,
                _boots(past),
                release(past),
                asked_by(past),
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
    facts = past_of(past) if whole else in_brief(past_of(past))
    lines = [
        f"{past.program}: {facts.verdict}",
        f"  began     {moment(facts.began)}",
        f"  asked by  {asked_by(facts)}",
    ]
    if facts.total:
        strategy = f", strategy {facts.strategy}" if facts.strategy else ""
        lines.append(f"  replaced  {replaced(facts)} in {secs(facts.secs)}{strategy}")
    if release(facts):
        lines.append(f"  release   {release(facts)}")
    if facts.boot_max_secs:
        half, most = facts.boot_p50_secs, facts.boot_max_secs
        lines.append(f"  boots     {half:.2f} s at the median, {most:.2f} s at most")
    if facts.why:
        lines += [f"  {line}" for line in with_why("why      ", facts.why)]
    lines.append("")
    why = ""
    for report in told:
        if isinstance(report.content, WorkerLife):
            continue
        clock = _clock(report.at)
        first, *rest = report_lines(report, why, whole)
        lines += [f"{clock}  {first}", *(f"{'':10}{line}" for line in rest)]
        if isinstance(report.content, Broken | Outcome):
            why = report.content.why
    lives = [one for report in told if isinstance(one := report.content, WorkerLife)]
    if lives:
        lines += ["", *_lives_table(lives, told[-1].at)]
    return [clean(line) for line in lines]


def _lives_table(lives: Sequence[WorkerLife], end: float) -> list[str]:
    """One worker a line: how long it booted, served and drained until ``end``, and what of it."""
    rows = [_LIVES]
    for one in sorted(lives, key=lambda one: (one.began, one.pid)):
        gone = end if one.gone_at is None else one.gone_at
        left = gone if one.retiring_at is None else one.retiring_at
        rows.append(
            (
                str(one.pid),
                "outdated" if one.outdated else "fresh",
                one.release,
                moment(one.began),
                _span(one.began, gone if one.ready_at is None else one.ready_at),
                "" if one.ready_at is None else _span(one.ready_at, left),
                "" if one.retiring_at is None else _span(one.retiring_at, gone),
                first_line(f"{one.state}: {one.how}" if one.how else one.state),
            )
        )
    return table(rows)


def _boots(past: Past) -> str:
    half, most = past.boot_p50_secs, past.boot_max_secs
    return f"{half:.2f}/{most:.2f} s" if most else ""


def _span(since: float, until: float) -> str:
    return secs(max(0.0, until - since))


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
