"""From reports to lines that a stranger understands. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from supervisor_roll.ctl.render.dry_run import plan_texts
from supervisor_roll.ctl.render.text import INDENT, clean, count, secs, why_lines, with_why
from supervisor_roll.ctl.render.traceback import in_brief
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.words import ABORTED, ARBITER, COMPLETE, FAILED
from supervisor_roll.wire.mailbox import Report


def report_lines(report: Report, told: str = "", whole: bool = False) -> list[str]:
    """Return the lines for one report. ``told`` is the reason that an earlier line already gave.

    One that is about no program (an empty name) has no name before it. ``whole``: with all frames
    of tracebacks.
    """
    facts = report.content
    if isinstance(facts, reports.Outcome) and (facts.total or facts.arbiter is not None):
        facts = dataclasses.replace(facts, why=_untold(facts.why, told))
    facts = facts if whole else in_brief(facts)
    texts = (
        [f"{report.kind} {report.facts}"]  # of a later release
        if facts is None
        else _TEXTS[type(facts)](facts)
    )
    lead = f"{report.program}: " if report.program else ""
    return [clean(f"{lead}{texts[0]}"), *(clean(text) for text in texts[1:])]


def _untold(why: str, told: str) -> str:
    """Return what of the reason at the end was not told before: the machine appends to it."""
    return why.removeprefix(told).lstrip("; ") if told else why


def outcome_line(outcomes: Mapping[str, str], objected: int = 0, named: bool = False) -> str:
    """One line for a job of several programs, from the kind of each one's last report.

    ``objected``: in how many dry runs something was found that speaks against the rollout.
    ``named``: say which have failed, or were aborted or refused.
    """
    kinds = list(outcomes.values())
    planned = kinds.count(reports.Plan.kind)
    counts = [f"{planned - objected} can be rolled"] if planned > objected else []
    counts += [f"{objected} cannot"] if objected else []
    bad = (FAILED, ABORTED, reports.Refused.kind, reports.Undone.kind)
    service = (reports.OutOfService.kind, reports.InService.kind)
    for kind in (COMPLETE, *bad, *service, reports.Skipped.kind):
        programs = [program for program, end in outcomes.items() if end == kind]
        shown = named and kind in bad
        names = f" ({', '.join(programs)})" if shown else ""
        counts += [f"{len(programs)} {kind}{names}"] if programs else []
    silent = sum(kind not in reports.ENDS for kind in kinds)
    counts += [f"{silent} without an outcome"] if silent else []
    return f"{count(len(kinds), 'program')}: {', '.join(counts)}"


def _began(facts: reports.Began) -> list[str]:
    workers, ready = facts.workers, facts.ready
    canary = f", canary {facts.canary} for {facts.min_ready_secs:g} s" if facts.canary else ""
    sick = f"; only {ready} of {workers} ready now" if ready < workers else ""
    if facts.strategy == ARBITER:
        reasons = f" ({'; '.join(facts.reasons)})" if facts.reasons else ""
        return [f"replacing the arbiter and its {count(workers, 'worker')}{reasons}{canary}{sick}"]
    why = f": {'; '.join(facts.reasons)}" if facts.reasons else ""
    return [
        f"rolling {count(workers, 'worker')} (surge {facts.max_surge},"
        f" unavailable {facts.max_unavailable}{canary}){why}{sick}"
    ]


def _replaced(facts: reports.Replaced) -> list[str]:
    return [f"{facts.done}/{facts.total}  worker {facts.old} -> {facts.new}{_boot(facts)}"]


def _succeeded(facts: reports.Succeeded) -> list[str]:
    return [f"successor {facts.new} starts beside arbiter {facts.old}"]


def _arrived(facts: reports.Arrived) -> list[str]:
    return [f"{facts.done}/{facts.total}  worker {facts.pid} of the successor ready{_boot(facts)}"]


def _promoted(facts: reports.Promoted) -> list[str]:
    old = facts.old
    return [f"arbiter {old} -> {facts.new}  took over; {old} finishes its requests"]


def _left(facts: reports.Left) -> list[str]:
    return with_why(f"worker {facts.pid} exited on its own", facts.why, ": ")


def _stuck(facts: reports.Stuck) -> list[str]:
    means = " (a sync worker's log shows where it hangs)" if facts.signal == "ABRT" else ""
    return [
        f"worker {facts.pid} has not left after {facts.secs:.0f} s: sent it {facts.signal}{means}"
    ]


def _note(facts: reports.Note) -> list[str]:
    return why_lines(facts.text) or [""]


def _warned(facts: reports.Warned) -> list[str]:
    return with_why("warning:", facts.text)


def _broken(facts: reports.Broken) -> list[str]:
    return with_why("FAILING:", facts.why)


def _complete(facts: reports.Complete) -> list[str]:
    arbiter = "arbiter and " if facts.strategy == ARBITER else ""
    return [
        f"complete: {arbiter}{count(facts.replaced, 'worker')} replaced in"
        f" {secs(facts.secs)}, never fewer than {facts.min_ready} ready"
    ]


def _ended(facts: reports.Outcome) -> list[str]:
    state, failed = facts.kind, isinstance(facts, reports.Failed)
    if facts.arbiter is not None:
        return _arbiter_ended(facts, facts.arbiter)
    old, new = len(facts.outdated), len(facts.fresh)
    if not facts.total:
        return with_why(f"{state}:", facts.why)
    lines = [
        f"{state}: {facts.replaced} of {count(facts.total, 'worker')}"
        f" replaced in {secs(facts.secs)}; still serving:"
        f" {count(old + new, 'worker')} ({old} outdated, {new} fresh)",
        *_rest(facts),
    ]
    again = "once the cause is repaired, run rollrestart again"
    if old + new == 0:
        lines.append(
            f"{INDENT}its arbiter is gone with its workers; what supervisord starts in their "
            "place runs the release that is deployed now: see `supervisorctl status`"
        )
    elif failed and new:
        lines.append(f"{INDENT}both releases serve now; {again}")
    elif failed and facts.rolled_back:
        lines.append(f"{INDENT}none runs the release that failed; {again}")
    elif failed:
        lines.append(f"{INDENT}nothing changed for your clients; {again}")
    elif new and old:
        lines.append(f"{INDENT}both releases serve now; run rollrestart again to finish")
    return lines


def _arbiter_ended(facts: reports.Outcome, arbiter: int) -> list[str]:
    failed, promoted = isinstance(facts, reports.Failed), facts.replaced > 0
    workers, desired = facts.workers, facts.desired
    lead = f"{facts.kind}: {'gave up' if failed else 'stopped'} after {secs(facts.secs)}"
    if not arbiter:
        return [
            f"{lead}; no arbiter is left",
            *_rest(facts),
            f"{INDENT}see `supervisorctl status` and the program's log",
        ]
    few = workers < desired
    # It may have been restarted meanwhile.
    stayed = not promoted and facts.same
    serves = (
        f"arbiter {arbiter} serves {'on ' if stayed or promoted else ''}with"
        f" {f'{workers} of ' if few else ''}{count(desired if few else workers, 'worker')}"
        f"{f', of which {facts.unhealthy} fail the health check' if facts.unhealthy else ''}"
    )
    same = "nothing changed: " if stayed and not few else ""
    lines = [f"{lead}; {same}{serves}", *_rest(facts)]
    if failed:
        lines.append(f"{INDENT}once the cause is repaired, run rollrestart again")
    return lines


def _rest(facts: reports.Outcome) -> list[str]:
    return [f"{INDENT}{line}" for line in why_lines(facts.why)]


def _refused(facts: reports.Refused) -> list[str]:
    return with_why("refused, nothing was touched:", facts.why)


def _skipped(facts: reports.Skipped) -> list[str]:
    return with_why("skipped:", facts.why)


def _planned(facts: reports.Plan) -> list[str]:
    return plan_texts(facts)


def _past(facts: reports.Past) -> list[str]:
    return [f"rollout {facts.id}: {facts.verdict}"]


def _worker(facts: reports.WorkerLife) -> list[str]:
    return with_why(f"worker {facts.pid}: {facts.state}", facts.how, ": ")


def _drained(facts: reports.OutOfService) -> list[str]:
    left = f"; {count(facts.sessions, 'session')} left" if facts.sessions else ""
    return [f"out of service after {secs(facts.secs)}{left}"]


def _in_service(facts: reports.InService) -> list[str]:
    return [f"in service after {secs(facts.secs)}"]


def _undone(facts: reports.Undone) -> list[str]:
    return with_why("not done:", facts.why)


def _boot(facts: reports.Replaced | reports.Arrived) -> str:
    health = f"  health {facts.health}" if facts.health else ""
    return f"  booted in {facts.boot_secs:.2f} s{health}"


_TEXTS: dict[type[reports.Facts], Callable[[Any], list[str]]] = {
    reports.Began: _began,
    reports.Replaced: _replaced,
    reports.Succeeded: _succeeded,
    reports.Arrived: _arrived,
    reports.Promoted: _promoted,
    reports.Left: _left,
    reports.Stuck: _stuck,
    reports.Note: _note,
    reports.Warned: _warned,
    reports.Broken: _broken,
    reports.Complete: _complete,
    reports.Failed: _ended,
    reports.Aborted: _ended,
    reports.Refused: _refused,
    reports.Skipped: _skipped,
    reports.Plan: _planned,
    reports.Past: _past,
    reports.WorkerLife: _worker,
    reports.OutOfService: _drained,
    reports.InService: _in_service,
    reports.Undone: _undone,
}
