"""What must be known of a program before it is rolled, and what stands against rolling it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from supervisor_roll.listener import memory, rollable
from supervisor_roll.listener.knowledge import Arbiter, Knowledge
from supervisor_roll.listener.memory import Cost
from supervisor_roll.listener.preflight import Result
from supervisor_roll.listener.runs import Run
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.mailbox import REFUSED, SKIPPED


@dataclass(frozen=True)
class Refusal:
    """The program is not rolled. ``kind`` is the report's."""

    why: str
    kind: str = REFUSED


def gather(run: Run, settings: Settings, knowledge: Knowledge, now: float,
           wall: float) -> Arbiter | Refusal | None:
    """The arbiter to roll, all of whose workers are known; a Refusal; None: look again soon.

    ``now`` is on the clock, ``wall`` in seconds since the epoch.
    """
    waits = now < run.gathers_since + settings.ready_timeout_secs
    info = knowledge.info(run.namespec)
    identity = knowledge.table.identity(info.pid) if info else None
    if info is None or info.state != "RUNNING" or identity is None:
        if waits and info is not None and info.state in ("STARTING", "RUNNING"):
            return None
        state = info.state if info else "unknown to supervisord"
        return Refusal(f"it is {state}; start it first: supervisorctl start {run.namespec}")
    arbiter = knowledge.arbiters.get(identity)
    if arbiter is None:
        young = wall - identity.started < settings.ready_timeout_secs
        gunicorn, why = rollable.silence(knowledge.table, identity)
        if gunicorn and young and waits:
            return None
        return Refusal(why, SKIPPED if run.job.wildcard and not gunicorn else REFUSED)
    why = rollable.objection(arbiter, settings)
    if why:
        return Refusal(why)
    heard = len(arbiter.workers)
    few = heard < max(arbiter.count, 1)
    # One that still boots, or that we have not heard yet, is not to be counted as lost.
    if waits and (few or arbiter.undecided):
        return None
    if few:
        return Refusal(
            f"only {heard} of its {arbiter.count} workers have been heard within "
            f"{settings.ready_timeout_secs:g} s: its arbiter (pid {identity.pid}) does not "
            "have as many as it wants, or they have been idle since this listener started")
    cost = cost_of(arbiter, settings)
    if cost is not None and not cost.fits and not run.job.dry_run:
        return Refusal(f"it does not fit into memory: {cost.text}; free some, or roll in place "
                       "with --max-surge 0 --max-unavailable 1")
    return arbiter


def cost_of(arbiter: Arbiter, settings: Settings) -> Cost | None:
    """What the surge would take, judged by the workers that run now; None if it cannot be said."""
    surge = settings.budget(max(arbiter.count, 1)).surge
    extra = surge + (1 if settings.preflight else 0)
    pids = [one.pid for one in arbiter.workers]
    return memory.cost(extra, memory.measured(pids), memory.room(arbiter.id.pid))


def plan_facts(arbiter: Arbiter, settings: Settings, result: Result | None) -> dict[str, Any]:
    """What a dry run tells; ``result`` is the preflight's, None if it was not possible."""
    budget = settings.budget(arbiter.count)
    boots = [one.boot_secs for one in arbiter.workers.values() if one.boot_secs]
    boot_secs = sum(boots) / len(boots) if boots else 0.0
    rounds = math.ceil(len(arbiter.workers) / (budget.surge or budget.unavailable))
    cost = cost_of(arbiter, settings)
    return {
        "workers": len(arbiter.workers), "desired": arbiter.count, "ready": arbiter.ready,
        "max_surge": budget.surge, "max_unavailable": budget.unavailable,
        "strategy": "workers", "boot_secs": boot_secs,
        "estimated_secs": rounds * (boot_secs + settings.min_ready_secs),
        "health": settings.health.path if settings.health else "",
        "memory": cost.facts if cost else None,
        "preflight": result and {"ok": result.ok, "secs": result.secs, "text": result.text}}
