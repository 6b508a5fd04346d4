"""What rollstatus shows: runs under way, the verdicts on those that were, and what resists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from supervisor_roll.listener.knowledge import Arbiter
from supervisor_roll.listener.runs import Run
from supervisor_roll.wire.mailbox import IDLE, Status


def overview(statuses: Mapping[str, Status], runs: Mapping[str, Run], arbiters: Iterable[Arbiter],
             wall: float) -> dict[str, Status]:
    """A status for each program that was rolled or that resists, as of its workers now.

    ``statuses`` are the last verdicts, ``wall`` is in seconds since the epoch.
    """
    shown = dict(statuses)
    shown.update({name: run.status() for name, run in runs.items() if not run.job.dry_run})
    for arbiter in arbiters:
        name, workers = arbiter.namespec, arbiter.workers.values()
        pids = [one.id.pid for one in workers]
        status = shown.get(name)
        if status is None and not arbiter.trouble:
            continue
        status = status or Status(IDLE, wall)
        outdated = [pid for pid in status.outdated if pid in pids]
        shown[name] = replace(
            status, resisting=arbiter.trouble, outdated=outdated,
            fresh=[pid for pid in pids if pid not in outdated] if status.job else [],
            ready=arbiter.ready, desired=status.desired if name in runs else arbiter.count,
            releases={str(one.id.pid): one.release for one in workers if one.release})
    return shown
