"""From reports to lines that a stranger understands. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor_roll.ctl.render.dry_run import plan_texts
from supervisor_roll.ctl.render.text import INDENT, Facts, clean, count, secs, why_lines, with_why
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.mailbox import Report


def report_lines(report: Report, told: str = "") -> list[str]:
    """The lines for one report. ``told`` is the reason that an earlier line already gave.

    One that is about no program (an empty name) has no name before it.
    """
    rule = _RULES.get(report.kind)
    facts = Facts(report.facts)
    texts = rule(facts, told) if rule is not None else [f"{report.kind} {report.facts}"]
    lead = f"{report.program}: " if report.program else ""
    return [clean(f"{lead}{texts[0]}"), *(clean(text) for text in texts[1:])]


def outcome_line(outcomes: Iterable[str], objected: int = 0) -> str:
    """One line for a job of several programs, from the kind of each one's last report.

    ``objected``: in how many dry runs something was found that speaks against the rollout.
    """
    kinds = list(outcomes)
    planned = kinds.count(wire.PLAN)
    counts = [f"{planned - objected} can be rolled"] if planned > objected else []
    counts += [f"{objected} cannot"] if objected else []
    counts += [
        f"{kinds.count(kind)} {kind}"
        for kind in (wire.COMPLETE, wire.FAILED, wire.ABORTED, wire.REFUSED, wire.SKIPPED)
        if kind in kinds
    ]
    silent = sum(kind not in wire.FINAL for kind in kinds)
    counts += [f"{silent} without an outcome"] if silent else []
    return f"{count(len(kinds), 'program')}: {', '.join(counts)}"


def _queued(facts: Facts, told: str) -> list[str]:
    return [f"waits for {count(facts.count('behind'), 'earlier rollout')}"]


def _began(facts: Facts, told: str) -> list[str]:
    workers, ready = facts.count("workers"), facts.count("ready")
    canaries = facts.count("canary")
    canary = f", canary {canaries} for {facts.number('min_ready_secs'):g} s" if canaries else ""
    sick = f"; only {ready} of {workers} ready now" if ready < workers else ""
    if _of_arbiter(facts):
        reasons = "; ".join(facts.texts("reasons"))
        return [
            f"replacing the arbiter and its {count(workers, 'worker')}"
            f"{f' ({reasons})' if reasons else ''}{canary}{sick}"
        ]
    return [
        f"rolling {count(workers, 'worker')} (surge {facts.count('max_surge')},"
        f" unavailable {facts.count('max_unavailable')}{canary}){sick}"
    ]


def _replaced(facts: Facts, told: str) -> list[str]:
    return [f"{_of_all(facts)}  worker {facts.count('old')} -> {facts.count('new')}{_boot(facts)}"]


def _succeeded(facts: Facts, told: str) -> list[str]:
    return [f"successor {facts.count('new')} starts beside arbiter {facts.count('old')}"]


def _arrived(facts: Facts, told: str) -> list[str]:
    return [f"{_of_all(facts)}  worker {facts.count('pid')} of the successor ready{_boot(facts)}"]


def _promoted(facts: Facts, told: str) -> list[str]:
    old = facts.count("old")
    return [f"arbiter {old} -> {facts.count('new')}  took over; {old} finishes its requests"]


def _left(facts: Facts, told: str) -> list[str]:
    return with_why(f"worker {facts.count('pid')} exited on its own", facts.text("why"), ": ")


def _stuck(facts: Facts, told: str) -> list[str]:
    signal = facts.text("signal")
    means = {"ABRT": " (a sync worker's log shows where it hangs)", "KILL": ""}.get(signal, "")
    return [
        f"worker {facts.count('pid')} has not left after {facts.number('secs'):.0f} s:"
        f" sent it {signal}{means}"
    ]


def _note(facts: Facts, told: str) -> list[str]:
    return why_lines(facts.text("text")) or [""]


def _warning(facts: Facts, told: str) -> list[str]:
    return with_why("warning:", facts.text("text"))


def _broken(facts: Facts, told: str) -> list[str]:
    return with_why("FAILING:", facts.text("why"))


def _complete(facts: Facts, told: str) -> list[str]:
    workers = count(facts.count("replaced"), "worker")
    return [
        f"complete: {'arbiter and ' if _of_arbiter(facts) else ''}{workers} replaced in"
        f" {secs(facts.number('secs'))}, never fewer than {facts.count('min_ready')} ready"
    ]


def _failed(facts: Facts, told: str) -> list[str]:
    return _ended(wire.FAILED, facts, told)


def _aborted(facts: Facts, told: str) -> list[str]:
    return _ended(wire.ABORTED, facts, told)


def _ended(state: str, facts: Facts, told: str) -> list[str]:
    if _of_arbiter(facts) and "arbiter" in facts.all:
        return _arbiter_ended(state, facts, told)
    old, new = facts.size("outdated"), facts.size("fresh")
    if not facts.count("total"):
        return with_why(f"{state}:", facts.text("why"))
    lines = [
        f"{state}: {facts.count('replaced')} of {count(facts.count('total'), 'worker')}"
        f" replaced in {secs(facts.number('secs'))}; still serving:"
        f" {count(old + new, 'worker')} ({old} outdated, {new} fresh)",
        *_rest(facts, told),
    ]
    if old + new == 0:
        lines.append(
            f"{INDENT}its arbiter is gone with its workers; what supervisord starts in their "
            "place runs the release that is deployed now: see `supervisorctl status`"
        )
    elif state == wire.FAILED and new:
        lines.append(
            f"{INDENT}both releases serve now; once the cause is repaired, run rollrestart again"
        )
    elif state == wire.FAILED and facts.all.get("rolled_back") is True:
        lines.append(
            f"{INDENT}none runs the release that failed; once the cause is repaired,"
            " run rollrestart again"
        )
    elif state == wire.FAILED:
        lines.append(
            f"{INDENT}nothing changed for your clients; once the cause is repaired,"
            " run rollrestart again"
        )
    elif new and old:
        lines.append(f"{INDENT}both releases serve now; run rollrestart again to finish")
    return lines


def _arbiter_ended(state: str, facts: Facts, told: str) -> list[str]:
    arbiter, workers = facts.count("arbiter"), facts.count("workers")
    desired, promoted = facts.count("desired"), facts.count("replaced") > 0
    sick = facts.count("sick")
    after = f"{state}: {'gave up' if state == wire.FAILED else 'stopped'} after"
    lead = f"{after} {secs(facts.number('secs'))}"
    if not arbiter:
        return [
            f"{lead}; no arbiter is left",
            *_rest(facts, told),
            f"{INDENT}see `supervisorctl status` and the program's log",
        ]
    few = workers < desired
    # It may have been restarted meanwhile.
    stayed = not promoted and facts.all.get("same") is not False
    serves = (
        f"arbiter {arbiter} serves {'on ' if stayed or promoted else ''}with"
        f" {f'{workers} of ' if few else ''}{count(desired if few else workers, 'worker')}"
        f"{f', of which {sick} fail the health check' if sick else ''}"
    )
    same = "nothing changed: " if stayed and not few else ""
    lines = [f"{lead}; {same}{serves}", *_rest(facts, told)]
    if state == wire.FAILED:
        lines.append(f"{INDENT}once the cause is repaired, run rollrestart again")
    return lines


def _rest(facts: Facts, told: str) -> list[str]:
    """What of the reason at the end was not told before."""
    why = facts.text("why")
    if not why or why == told:
        return []
    # What the machine adds to a reason at the end, it appends.
    added = why.removeprefix(told).lstrip("; ") if told else why
    return [f"{INDENT}{line}" for line in why_lines(added)]


def _refused(facts: Facts, told: str) -> list[str]:
    return with_why("refused, nothing was touched:", facts.text("why"))


def _planned(facts: Facts, told: str) -> list[str]:
    return plan_texts(facts.all)


def _skipped(facts: Facts, told: str) -> list[str]:
    return with_why("skipped:", facts.text("why"))


_RULES = {
    wire.QUEUED: _queued,
    wire.BEGAN: _began,
    wire.REPLACED: _replaced,
    wire.SUCCEEDED: _succeeded,
    wire.ARRIVED: _arrived,
    wire.PROMOTED: _promoted,
    wire.LEFT: _left,
    wire.STUCK: _stuck,
    wire.NOTE: _note,
    wire.WARNING: _warning,
    wire.BROKEN: _broken,
    wire.COMPLETE: _complete,
    wire.FAILED: _failed,
    wire.ABORTED: _aborted,
    wire.REFUSED: _refused,
    wire.SKIPPED: _skipped,
    wire.PLAN: _planned,
}


def _of_arbiter(facts: Facts) -> bool:
    return facts.text("strategy") == wire.ARBITER


def _of_all(facts: Facts) -> str:
    return f"{facts.count('done')}/{facts.count('total')}"


def _boot(facts: Facts) -> str:
    health = f"  health {facts.text('health')}" if facts.text("health") else ""
    return f"  booted in {facts.number('boot_secs'):.2f} s{health}"
