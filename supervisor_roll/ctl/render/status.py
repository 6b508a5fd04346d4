"""What rollstatus shows: the programs' last rollouts, and the jobs under way. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from supervisor_roll.ctl.render.text import (
    INDENT,
    ago,
    clean,
    count,
    first_line,
    moment,
    secs,
    table,
    with_why,
)
from supervisor_roll.ctl.render.traceback import in_brief
from supervisor_roll.ctl.selection import jobs_of
from supervisor_roll.rollout.words import ARBITER
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.mailbox import Status

_NAMES = 5
NEVER_ROLLED = "never rolled"


def overview_lines(
    found: wire.Overview, names: list[str] | None, now: float, whole: bool = False
) -> list[str]:
    """Return what there is to say of ``names`` in detail, or of everything (None).

    ``now`` is in seconds since the epoch, as below. ``whole``: with all frames of tracebacks.
    """
    lines: list[str] = []
    if names is not None:
        for name in names:
            one = found.programs.get(name)
            if one is None:
                lines.append(f"{name}: {NEVER_ROLLED}")
            else:
                lines += status_lines(name, one if whole else in_brief(one), now)
    elif found.programs:
        lines += status_table(found.programs, now)
    else:
        lines.append("no program has been rolled since supervisord's start")
    for job in jobs_of(found.jobs, names):
        lines += _job_lines(job, found.programs)
    if found.listener is None:
        lines.append(f"{wire.NO_LISTENER_YET}: no rollout is possible")
    elif found.listener.state not in wire.LISTENING:
        lines.append(f"the listener is {found.listener.state}: no rollout is possible")
    elif found.listener.trouble:
        lines += with_why("the listener:", found.listener.trouble)
    return lines


def status_table(statuses: Mapping[str, Status], now: float) -> list[str]:
    """Return a line for each program under a heading, with releases if some are known.

    Where two arbiters of a program run, a second line tells them apart.
    """
    some = any(one.releases for one in statuses.values())
    rows = [("PROGRAM", "STATE", "SINCE", "REPLACED", "READY", *["RELEASE"] * some, "WHY")]
    below: dict[int, str] = {}
    for name, one in sorted(statuses.items()):
        never = one.state == wire.IDLE
        since = one.since if one.ended is None else one.ended
        state = NEVER_ROLLED if never else one.state
        state = f"{state}, backing off" if one.backing_off else state
        state += ", drained" if one.drained else ""
        rows.append(
            (
                name,
                state,
                "" if never else f"{ago(now - since)} ago",
                "" if never else f"{_replaced(one)}/{one.total}",
                f"{one.ready}/{one.desired}",
                *[_releases(one.releases)] * some,
                first_line(one.recycling or one.why or one.backing_off),
            )
        )
        below[len(rows)] = arbiters_line(one)
    lines: list[str] = []
    for number, line in enumerate(table(rows), 1):
        lines += [line, INDENT + below[number]] if below.get(number) else [line]
    return lines


def status_lines(name: str, one: Status, now: float) -> list[str]:
    """One program's last rollout in detail."""
    if one.state == wire.IDLE:
        lines = [f"{name}: {NEVER_ROLLED}", f"ready     {one.ready} of {one.desired}"]
        lines += [f"workers   {_workers(one.fresh, one.releases)}"] if one.fresh else []
        lines += _drained(one)
    else:
        lines = _rollout_lines(name, one, now)
    if one.backing_off:
        lines += with_why("backing off", one.backing_off)
    if one.recycling:
        lines += with_why("recycling", one.recycling)
    if one.why:
        lines += with_why("why      ", one.why)
    return [clean(lines[0]), *(clean("  " + line) for line in lines[1:])]


def _rollout_lines(name: str, one: Status, now: float) -> list[str]:
    lines = [
        f"{name}: {one.state}",
        f"began     {moment(one.since)} ({ago(now - one.since)} ago)",
    ]
    if one.ended is not None:
        lines.append(f"ended     {moment(one.ended)} (after {secs(one.ended - one.since)})")
    if one.by:
        lines.append(f"asked by  {one.by}")
    lines.append(f"replaced  {_replaced(one)} of {count(one.total, 'worker')}")
    if one.strategy == ARBITER and _replaced(one) > 0:
        lines[-1] += ", with their arbiter"
    if arbiters_line(one):
        lines.append(arbiters_line(one))
    lines.append(f"ready     {one.ready} of {one.desired}, never fewer than {one.min_ready}")
    lines += _drained(one)
    if one.outdated:
        lines.append(f"outdated  {_workers(one.outdated, one.releases)}")
    if one.fresh:
        lines.append(f"fresh     {_workers(one.fresh, one.releases)}")
    return lines


def _drained(one: Status) -> list[str]:
    return [f"drained   out of service, asked for by {one.drained}"] if one.drained else []


def arbiters_line(one: Status) -> str:
    """Which of a program's two arbiters is which; empty if there are not two."""
    serves = f"arbiter {one.arbiter} serves" if one.arbiter else "no arbiter has its name"
    if one.successor:
        return (
            f"{serves}, its successor {one.successor} starts:"
            f" {one.done} of {count(one.desired, 'worker')} ready"
        )
    return f"{serves}, {one.retiring} finishes its requests" if one.retiring else ""


def _job_lines(job: wire.Job, statuses: Mapping[str, Status]) -> list[str]:
    """Return what is to be said of a job beside what its programs' statuses say."""
    if job.kind == wire.UPDATE:
        by = f", asked for by {job.by}" if job.by else ""
        return [clean(f"an update of {_named(job.programs)} is under way{by}")]
    return [
        clean(f"{name}: rollout requested, not begun")
        for name in job.programs
        if name not in statuses or statuses[name].job != job.id
    ]


def _named(programs: list[str]) -> str:
    if "all" in programs or not programs:
        return "all programs"
    more = len(programs) - _NAMES
    return ", ".join(programs[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def _replaced(one: Status) -> int:
    # Of a successor that has not taken over yet, ``done`` counts the workers that are ready.
    return 0 if one.successor else one.done


def _releases(releases: Mapping[str, str]) -> str:
    """Say what the workers run: ``v3``, or where they differ ``v3 (3), v2 (1)``."""
    found = Counter(releases.values()).most_common()
    return ", ".join(f"{one} ({many})" if len(found) > 1 else one for one, many in found)


def _workers(pids: list[int], releases: Mapping[str, str]) -> str:
    """Pids, by what they run where that is known: ``4711 4712 (v2), 4713 (v3)``."""
    by_release: dict[str, list[str]] = {}
    for pid in pids:
        by_release.setdefault(releases.get(str(pid), ""), []).append(str(pid))
    return ", ".join(
        " ".join(ones) + (f" ({release})" if release else "")
        for release, ones in by_release.items()
    )
