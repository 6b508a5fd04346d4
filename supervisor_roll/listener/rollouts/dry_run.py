"""What a dry run tells."""

from __future__ import annotations

import math

from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.rollouts.admission import Admission, cost_of, need_of
from supervisor_roll.listener.rollouts.strategy import Choice
from supervisor_roll.listener.side_processes.process import Result
from supervisor_roll.rollout.reports import Plan, Preflight
from supervisor_roll.rollout.settings import Settings


def plan(found: Admission, settings: Settings, table: ProcessTable, result: Result | None) -> Plan:
    """Return what a dry run tells; ``result`` is the preflight's, None if it was not possible."""
    arbiter, choice, budget = found.arbiter, found.choice, found.budget(settings)
    boots = [one.boot_secs for one in arbiter.workers.values() if one.boot_secs]
    boot_secs = sum(boots) / len(boots) if boots else 0.0
    rounds = math.ceil(len(arbiter.workers) / (budget.surge or budget.unavailable))
    cost, need = cost_of(found, settings, table), need_of(found, settings, table)
    return Plan(
        workers=len(arbiter.workers),
        desired=arbiter.count,
        ready=arbiter.ready,
        max_surge=budget.surge,
        max_unavailable=budget.unavailable,
        strategy=choice.strategy,
        reasons=choice.reasons,
        changes=choice.changes,
        boot_secs=boot_secs,
        estimated_secs=rounds * (boot_secs + settings.min_ready_secs),
        health=settings.health.path if settings.health else "",
        memory=cost.told if cost else None,
        processes=need.told if need else None,
        preflight=Preflight(result.ok, result.secs, result.text) if result else None,
    )


def refused(choice: Choice, why_not: str) -> Plan:
    """Return what a dry run tells of a program whose rollout would be refused."""
    return Plan(
        strategy=choice.strategy,
        reasons=choice.reasons,
        changes=choice.changes,
        refused=why_not,
    )
