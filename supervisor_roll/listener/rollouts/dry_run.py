"""What a dry run tells."""

from __future__ import annotations

import math

from supervisor_roll.listener.rollouts.admission import Admission
from supervisor_roll.listener.rollouts.strategy import Choice
from supervisor_roll.listener.side_processes.process import Result
from supervisor_roll.rollout.reports import Plan, Preflight
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import ARBITER


def plan(found: Admission, settings: Settings, result: Result | None) -> Plan:
    """Return what a dry run tells; ``result`` is the preflight's, None if it was not possible."""
    arbiter, choice, budget = found.arbiter, found.choice, found.budget
    boots = [one.boot_secs for one in arbiter.workers.values() if one.boot_secs]
    boot_secs = sum(boots) / len(boots) if boots else 0.0
    # The first boots alone, but for a whole set of a successor's.
    alone = int(budget.surge > 1 and (choice.strategy != ARBITER or budget.surge < arbiter.count))
    at_once = budget.surge or budget.unavailable
    rounds = alone + math.ceil((len(arbiter.workers) - alone) / at_once)
    extra = found.extra(settings)
    cost, need = found.resources.cost(extra), found.resources.need(extra)
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
        gunicorn=arbiter.facts.gunicorn,
        hooks=arbiter.facts.hooks,
        timeout=arbiter.facts.timeout,
        graceful_timeout=arbiter.facts.graceful_timeout,
    )


def refused(choice: Choice, why_not: str) -> Plan:
    """Return what a dry run tells of a program whose rollout would be refused."""
    return Plan(
        strategy=choice.strategy,
        reasons=choice.reasons,
        changes=choice.changes,
        refused=why_not,
    )
