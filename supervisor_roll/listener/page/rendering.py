"""The page's documents as JSON texts, bounded in size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.history import History
from supervisor_roll.listener.rollouts.active import MOST_RELEASES
from supervisor_roll.rollout.reports import Warned, WorkerLife
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import (
    HISTORY,
    IDLE,
    MAX_DOCUMENT_CHARS,
    Report,
    Reports,
    Request,
    Status,
)

# So many workers of each program are told of; where that is too much, so many.
_MOST_WORKERS = (500, 50, 0)


def statuses(arbiters: Iterable[Arbiter], known: Mapping[str, Status]) -> dict[str, Status]:
    """Return ``known``, and the status of each other program as its arbiter has it."""
    shown = dict(known)
    for one in arbiters:
        of = known.get(one.namespec)
        if not one.successor and (of is None or (not of.arbiter and of.state == IDLE)):
            releases = {str(own.id.pid): own.release for own in one.workers.values() if own.release}
            now = Status(IDLE, 0.0, ready=one.ready, desired=one.count, arbiter=one.id.pid)
            drained = of.drained if of else ""
            shown[one.namespec] = replace(now, releases=releases, drained=drained)
    return shown


def status_text(
    shown: dict[str, Status],
    lives: Callable[[str], Iterable[WorkerLife]],
    resists: Callable[[str], str],
    states: dict[str, str],
    trouble: str,
) -> str:
    """Return all that is known of the programs as they are now; without the braces around it."""
    for most in _MOST_WORKERS:
        programs = []
        for name, status in sorted(shown.items()):
            workers = list(lives(name))[-most:] if most else []
            releases = sorted({*status.releases.values()})[:MOST_RELEASES]
            programs.append(
                {
                    "name": name,
                    "process": states.get(name, ""),
                    "releases": releases,
                    # When one that was never rolled was looked at is no news.
                    "status": replace(
                        status, releases={}, since=0.0 if status.state == IDLE else status.since
                    ),
                    "workers": workers,
                    "resists": resists(name),
                }
            )
        text = to_json({"trouble": trouble, "programs": programs})[1:-1]
        if len(text) < MAX_DOCUMENT_CHARS // 2:
            return text
    return to_json({"trouble": "there are too many programs to show", "programs": []})[1:-1]


def history_text(history: History, what: str) -> str:
    """Return the last rollouts of all programs, or all of the one with that number."""
    reports = history.answers(Request("", HISTORY, [what]))
    text = to_json(Reports(reports, done=True))
    if len(text) <= MAX_DOCUMENT_CHARS:
        return text
    why = Warned("it is too much to be shown here: see rollhistory")
    return to_json(Reports([Report("", "", why.kind, vars(why))], done=True))
