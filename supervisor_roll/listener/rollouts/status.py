"""What rollstatus shows: runs under way, the verdicts on those that were, and what backs off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.words import ARBITER
from supervisor_roll.wire.mailbox import IDLE, Status


def _beside(run: Run | None) -> set[InstanceId]:
    """Return the arbiter that runs beside the one that has the program's name."""
    rollout = run.rolling if run is not None else None
    if run is None or not isinstance(rollout, ArbiterRollout):
        return set()
    one = run.arbiter if rollout.promoted else rollout.successor
    return {one} if one is not None else set()


def overview(
    statuses: Mapping[str, Status],
    runs: Mapping[str, Run],
    arbiters: Iterable[Arbiter],
    recycling: Mapping[str, str],
    drained: Mapping[str, tuple[str, float]],
    wall: float,
) -> dict[str, Status]:
    """Return a status for each program there is something to say of, as of its workers now.

    ``statuses`` are the last verdicts, ``recycling`` is said of programs beside them, ``drained``
    are those out of service, by whom and since when. ``wall`` is in seconds since the epoch.
    """
    shown = dict(statuses)
    shown.update({name: run.status() for name, run in runs.items() if not run.job.dry_run})
    for arbiter in arbiters:
        if arbiter.id in _beside(runs.get(arbiter.namespec)):
            continue
        name, workers = arbiter.namespec, arbiter.workers.values()
        pids = {one.id.pid: None for one in workers}
        status = shown.get(name)
        if status is None and not arbiter.boot_failure and name not in recycling:
            continue
        status = replace(status or Status(IDLE, wall), recycling=recycling.get(name, ""))
        if name in runs and status.strategy == ARBITER:
            shown[name] = replace(
                status, backing_off=arbiter.boot_failure
            )  # it speaks of both arbiters
            continue
        outdated = {pid: None for pid in status.outdated if pid in pids}
        shown[name] = replace(
            status,
            backing_off=arbiter.boot_failure,
            outdated=list(outdated),
            arbiter=arbiter.id.pid,
            # Not as they were heard, which is as chance would have it.
            fresh=sorted(pid for pid in pids if pid not in outdated) if status.job else [],
            ready=arbiter.ready,
            desired=status.desired if name in runs else arbiter.count,
            releases={str(one.id.pid): one.release for one in workers if one.release},
        )
    for name, (by, since) in drained.items():
        shown[name] = replace(shown.get(name) or Status(IDLE, since), drained=by)
    return shown
