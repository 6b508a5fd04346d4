"""From reports and statuses to lines that a stranger understands. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from supervisor_roll.ctl.plan import plan_texts
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.mailbox import Report, Status

_INDENT = "    "
# A rollout's reason may be a whole traceback; its end says more than its beginning.
_WHY_LINES = 40


def report_lines(report: Report, told: str = "") -> list[str]:
    """The lines for one report. ``told`` is the reason that an earlier line already gave."""
    rule = _RULES.get(report.kind)
    facts = _Facts(report.facts)
    texts = rule(facts, told) if rule is not None else [f"{report.kind} {report.facts}"]
    return [clean(f"{report.program}: {texts[0]}"), *(clean(text) for text in texts[1:])]


def outcome_line(outcomes: Iterable[str]) -> str:
    """One line for a job of several programs, from the kind of each one's last report."""
    kinds = list(outcomes)
    counts = [f"{kinds.count(kind)} {kind}" for kind in
              (wire.COMPLETE, wire.FAILED, wire.ABORTED, wire.REFUSED, wire.SKIPPED)
              if kind in kinds]
    silent = sum(kind not in wire.FINAL for kind in kinds)
    counts += [f"{silent} without an outcome"] if silent else []
    return f"{_count(len(kinds), 'program')}: {', '.join(counts)}"


def status_table(statuses: Mapping[str, Status], now: float) -> list[str]:
    """All programs ever rolled, one a line under a heading. ``now`` in seconds since the epoch."""
    rows = [("PROGRAM", "STATE", "SINCE", "REPLACED", "READY", "WHY")]
    for name, one in sorted(statuses.items()):
        since = one.since if one.ended is None else one.ended
        state = f"{one.state}, resisting" if one.resisting else one.state
        rows.append((name, state, f"{_ago(now - since)} ago", f"{one.done}/{one.total}",
                     f"{one.ready}/{one.desired}", _first_line(one.why or one.resisting)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [clean("  ".join([*(cell.ljust(width) for cell, width in
                               zip(row, widths, strict=False)), row[5]]).rstrip())
            for row in rows]


def status_lines(name: str, one: Status, now: float) -> list[str]:
    """One program's last rollout in detail."""
    lines = [f"{name}: {one.state}",
             f"began     {_moment(one.since)} ({_ago(now - one.since)} ago)"]
    if one.ended is not None:
        lines.append(f"ended     {_moment(one.ended)} (after {_secs(one.ended - one.since)})")
    if one.by:
        lines.append(f"asked by  {one.by}")
    lines.append(f"replaced  {one.done} of {_count(one.total, 'worker')}")
    lines.append(f"ready     {one.ready} of {one.desired}, never fewer than {one.min_ready}")
    if one.outdated:
        lines.append(f"outdated  {_workers(one.outdated, one.releases)}")
    if one.fresh:
        lines.append(f"fresh     {_workers(one.fresh, one.releases)}")
    if one.resisting:
        lines += _with_why("resisting", one.resisting)
    if one.why:
        lines += _with_why("why      ", one.why)
    return [clean(lines[0]), *(clean("  " + line) for line in lines[1:])]


def clean(text: str) -> str:
    """``text`` without what could move a terminal's cursor or change its colours."""
    return "".join(char if char.isprintable() else "    " if char == "\t" else "?"
                   for char in text)


class _Facts:
    """A report's facts, where one that is missing or of a strange type breaks no line."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    @property
    def all(self) -> Mapping[str, Any]:
        return self._facts

    def number(self, key: str) -> float:
        value = self._facts.get(key)
        return value if isinstance(value, int | float) else 0

    def count(self, key: str) -> int:
        return int(self.number(key))

    def text(self, key: str) -> str:
        value = self._facts.get(key)
        return value if isinstance(value, str) else ""

    def size(self, key: str) -> int:
        value = self._facts.get(key)
        return len(value) if isinstance(value, list) else 0


def _queued(facts: _Facts, told: str) -> list[str]:
    return [f"waits for {_count(facts.count('behind'), 'earlier rollout')}"]


def _began(facts: _Facts, told: str) -> list[str]:
    workers, ready = facts.count("workers"), facts.count("ready")
    canaries = facts.count("canary")
    canary = f", canary {canaries} for {facts.number('min_ready_secs'):g} s" if canaries else ""
    sick = f"; only {ready} of {workers} ready now" if ready < workers else ""
    return [f"rolling {_count(workers, 'worker')} (surge {facts.count('max_surge')},"
            f" unavailable {facts.count('max_unavailable')}{canary}){sick}"]


def _replaced(facts: _Facts, told: str) -> list[str]:
    health = f"  health {facts.text('health')}" if facts.text("health") else ""
    return [f"{facts.count('done')}/{facts.count('total')}  worker {facts.count('old')} ->"
            f" {facts.count('new')}  booted in {facts.number('boot_secs'):.2f} s{health}"]


def _left(facts: _Facts, told: str) -> list[str]:
    return _with_why(f"worker {facts.count('pid')} left by itself", facts.text("why"), ": ")


def _stuck(facts: _Facts, told: str) -> list[str]:
    signal = facts.text("signal")
    means = {"ABRT": " (the program's log shows where it hangs)", "KILL": ""}.get(signal, "")
    return [f"worker {facts.count('pid')} has not left after {facts.number('secs'):.0f} s:"
            f" sent it {signal}{means}"]


def _note(facts: _Facts, told: str) -> list[str]:
    return _why_lines(facts.text("text")) or [""]


def _warning(facts: _Facts, told: str) -> list[str]:
    return _with_why("warning:", facts.text("text"))


def _broken(facts: _Facts, told: str) -> list[str]:
    return _with_why("BROKEN:", facts.text("why"))


def _complete(facts: _Facts, told: str) -> list[str]:
    line = (f"complete: {_count(facts.count('replaced'), 'worker')} replaced in"
            f" {_secs(facts.number('secs'))}, never fewer than {facts.count('min_ready')} ready")
    return [line]


def _failed(facts: _Facts, told: str) -> list[str]:
    return _ended("failed", facts, told)


def _aborted(facts: _Facts, told: str) -> list[str]:
    return _ended("aborted", facts, told)


def _ended(state: str, facts: _Facts, told: str) -> list[str]:
    old, new = facts.size("outdated"), facts.size("fresh")
    why = facts.text("why")
    if not facts.count("total"):
        return _with_why(f"{state}:", why)
    lines = [f"{state}: {facts.count('replaced')} of {_count(facts.count('total'), 'worker')}"
             f" replaced in {_secs(facts.number('secs'))}; still serving:"
             f" {_count(old + new, 'worker')} ({old} outdated, {new} fresh)"]
    if why and why != told:
        # What the machine adds to a reason at the end, it appends.
        added = why.removeprefix(told).lstrip("; ") if told else why
        lines += [f"{_INDENT}{line}" for line in _why_lines(added)]
    if old + new == 0:
        lines.append(f"{_INDENT}no worker is left: see `supervisorctl status` and the"
                     " program's log")
    elif state == wire.FAILED and new:
        lines.append(f"{_INDENT}both releases serve now; once the cause is repaired, run"
                     " rollrestart again")
    elif state == wire.FAILED and facts.all.get("rolled_back") is True:
        lines.append(f"{_INDENT}none runs the release that failed; once the cause is repaired,"
                     " run rollrestart again")
    elif state == wire.FAILED:
        lines.append(f"{_INDENT}nothing changed for your clients; once the cause is repaired,"
                     " run rollrestart again")
    elif new and old:
        lines.append(f"{_INDENT}both releases serve now; run rollrestart again to finish")
    return lines


def _refused(facts: _Facts, told: str) -> list[str]:
    return _with_why("refused, nothing was touched:", facts.text("why"))


def _planned(facts: _Facts, told: str) -> list[str]:
    return plan_texts(facts.all)


def _skipped(facts: _Facts, told: str) -> list[str]:
    return _with_why("skipped:", facts.text("why"))


_RULES = {
    wire.QUEUED: _queued, wire.BEGAN: _began, wire.REPLACED: _replaced, wire.LEFT: _left,
    wire.STUCK: _stuck, wire.NOTE: _note, wire.WARNING: _warning, wire.BROKEN: _broken,
    wire.COMPLETE: _complete,
    wire.FAILED: _failed, wire.ABORTED: _aborted, wire.REFUSED: _refused, wire.SKIPPED: _skipped,
    wire.PLAN: _planned,
}


def _workers(pids: list[int], releases: Mapping[str, str]) -> str:
    """Pids, by what they run where that is known: ``4711 4712 (v2), 4713 (v3)``."""
    by_release: dict[str, list[str]] = {}
    for pid in pids:
        by_release.setdefault(releases.get(str(pid), ""), []).append(str(pid))
    return ", ".join(" ".join(ones) + (f" ({release})" if release else "")
                     for release, ones in by_release.items())


def _with_why(lead: str, why: str, glue: str = " ") -> list[str]:
    lines = _why_lines(why)
    if not lines:
        return [lead]
    return [f"{lead}{glue}{lines[0].strip()}", *(f"{_INDENT}{line}" for line in lines[1:])]


def _why_lines(why: str) -> list[str]:
    lines = [line.rstrip() for line in why.splitlines() if line.strip()]
    if len(lines) > _WHY_LINES:
        lines = [lines[0], "...", *lines[2 - _WHY_LINES:]]
    return lines


def _first_line(why: str) -> str:
    lines = _why_lines(why)
    return "" if not lines else lines[0].strip() + (" ..." if len(lines) > 1 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _secs(secs: float) -> str:
    return f"{secs:.1f} s" if secs < 100 else f"{secs:.0f} s"


def _ago(secs: float) -> str:
    secs = max(secs, 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if secs >= 2 * size:
            return f"{secs / size:.0f} {unit}"
    return f"{secs:.0f} s"


def _moment(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return f"{at:.0f} s after the epoch"
