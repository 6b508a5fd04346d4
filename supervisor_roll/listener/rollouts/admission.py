"""What must be known of a program before it is rolled, and what stands against rolling it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from supervisor_roll.listener.arbiters.arbiter import OFFERED_SECS, Arbiter
from supervisor_roll.listener.arbiters.registry import ArbiterRegistry
from supervisor_roll.listener.rollouts import deployed, eligibility, resources, strategy
from supervisor_roll.listener.rollouts.resources import Owed, Resources
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.listener.rollouts.silence import silence
from supervisor_roll.listener.rollouts.strategy import Choice
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.words import ARBITER, WORKERS
from supervisor_roll.wire.program import Program

# How often memory and processes are measured while others take them: that reads many files.
MEASURE_SECS = 1.0


@dataclass(frozen=True)
class Refusal:
    """The program is not rolled; ``skips``: nor is anything the matter with that."""

    why: str
    skips: bool = False
    choice: Choice | None = None


@dataclass(frozen=True)
class Waiting:
    """Look again soon, but not within ``secs``. ``what`` is waited for."""

    what: str
    secs: float = 0.0


@dataclass(frozen=True)
class Admission:
    """What is rolled, how, by how many at once, and what there is for that.

    ``reduced`` says why there are fewer at once than by default.
    """

    arbiter: Arbiter
    choice: Choice
    budget: Budget
    resources: Resources
    reduced: str = ""

    def extra(self, settings: Settings) -> int:
        """How many more workers than now it may have at once, its preflight's counted."""
        preflight = settings.preflight and self.choice.strategy != ARBITER
        return self.budget.surge + int(preflight)


def admit(
    run: Run, settings: Settings, registry: ArbiterRegistry, others: Iterable[Run], now: float
) -> Admission | Refusal | Waiting:
    """Return the arbiter to roll, all of whose workers are known; or why it is not, or not yet.

    ``others`` are the runs under way, ``now`` is on the clock.
    """
    waits = now < run.gathers_since + settings.ready_timeout_secs
    info = registry.info(run.namespec)
    identity = registry.table.identity(info.pid) if info else None
    if info is None or info.state != "RUNNING" or identity is None:
        if waits and info is not None and info.state in ("STARTING", "RUNNING"):
            return Waiting(f"supervisord to call it RUNNING: it is {info.state}")
        log = registry.log_of(run.namespec)
        return Refusal(_stopped(run.namespec, info.state if info else "", log))
    arbiter = registry.arbiters.get(identity)
    if arbiter is None or not (arbiter.workers or arbiter.facts.gunicorn):
        heard_of = silence(registry.table, identity, spoke=arbiter is not None)
        young = registry.table.age_secs(identity) < settings.ready_timeout_secs
        barrier = registry.barrier(identity) if heard_of.gunicorn else ""
        if barrier:
            return Refusal(f"nothing heard from its Gunicorn (pid {identity.pid}): {barrier}")
        if heard_of.awaits and young and waits:
            return Waiting(heard_of.awaits)
        skips = run.job.wildcard and not heard_of.gunicorn
        return Refusal(heard_of.why, skips=True) if skips else Refusal(heard_of.why + heard_of.rule)
    choice = Choice(WORKERS) if run.job.recycles else _chosen(arbiter, run, settings, registry)
    why = choice.refused or _why_not(arbiter, choice, settings, run)
    if why:
        return Refusal(why, choice=choice)
    heard = arbiter.heard
    few = heard < max(arbiter.count, 1) and not registry.corrected(arbiter, now)
    # One that still boots, or that we have not heard yet, is not to be counted as lost.
    if waits and few:
        return Waiting(f"all of its workers to report: {heard} of {arbiter.count} so far")
    pids = ", ".join(
        str(one.pid)
        for one in arbiter.undecided
        if registry.table.age_secs(one) < settings.ready_timeout_secs  # else it hangs
    )
    if waits and pids:
        return Waiting(f"worker {pids} to say whether it is ready")
    if few:
        barrier = registry.barrier(identity)
        if barrier:
            return Refusal(f"only {heard} of its {arbiter.count} workers reported: {barrier}")
        return Refusal(
            f"only {heard} of its {arbiter.count} workers reported within "
            f"{settings.ready_timeout_secs:g} s: its arbiter (pid {identity.pid}) does not "
            "have as many as it wants, or they have been idle since this listener started"
        )
    undecided = [one.id.pid for one in arbiter.workers.values() if one.is_undecided(now)]
    if undecided:
        return Waiting(f"worker {undecided[0]} to say whether it is the next to go")
    asked = [one for one in arbiter.workers.values() if one.id in run.job.recycles]
    silent = [one.id.pid for one in asked if not one.is_next]
    if silent and now < run.gathers_since + OFFERED_SECS:
        return Waiting(f"worker {silent[0]} to say that it is to go")
    if run.job.recycles and not arbiter.next_of(run.job.recycles):
        return Refusal("the workers to be replaced have left, or do not say that they would")
    budget, whole = settings.budget(max(arbiter.count, 1)), choice.strategy == ARBITER
    found = Admission(arbiter, choice, budget, Resources.of(arbiter, registry.table, whole))
    owed = Owed() if run.job.dry_run else resources.owed(others, registry.table)
    return _affordable(found, settings, owed, run.job.dry_run)


def _chosen(arbiter: Arbiter, run: Run, settings: Settings, registry: ArbiterRegistry) -> Choice:
    program = registry.program(run.namespec)
    with registry.looking_as(arbiter):
        elsewhere = deployed.elsewhere(arbiter.facts.places, program)
    # What the operator's command names, its workers' user may not be allowed to read.
    named = program is not None and _names(program, arbiter.facts.conf)
    with nullcontext() if named else registry.looking_as(arbiter):
        return strategy.choose(arbiter, settings, run.change, elsewhere)


def _why_not(arbiter: Arbiter, choice: Choice, settings: Settings, run: Run) -> str:
    if run.job.recycles:
        return eligibility.why_not_recycle(arbiter)
    whole = choice.strategy == ARBITER
    why_not = eligibility.why_not_arbiter if whole else eligibility.why_not_workers
    why = why_not(arbiter, settings)
    if not why and arbiter.facts.reload and not (whole and choice.changes):
        return eligibility.RELOADS  # what has changed may turn it off: a successor will say
    return why


def _names(program: Program, path: str) -> bool:
    """Whether the program's command has this path in it, as Gunicorn's configuration file."""
    words = (one.removeprefix("-c").rpartition("=")[2] for one in program.arguments)
    return any(str(Path(program.directory) / one) == path for one in words)


def _stopped(namespec: str, state: str, log: str) -> str:
    if not state:
        return "supervisord does not know it"
    if state in ("FATAL", "BACKOFF", "EXITED"):
        return (
            f"it is {state}: repair what ended it, {log} says what, and start it: supervisorctl "
            f"start {namespec}"
        )
    return f"it is {state}; start it first: supervisorctl start {namespec}"


def _affordable(
    found: Admission, settings: Settings, owed: Owed, dry_run: bool
) -> Admission | Refusal | Waiting:
    """``found``, with as large a surge as there is room for, if nobody has asked for another."""
    surge, surges = found.budget.surge, [found.budget.surge]
    if not settings.surge_given:
        # Two full sets touch the old one least.
        full = [max(found.arbiter.count, 1)] if found.choice.strategy == ARBITER else []
        surges = [*full, *range(surge, 0, -1)]
    beside, one, short, why = found.resources.less(owed), found, "", ""
    for number in surges:
        one = replace(found, budget=replace(found.budget, surge=number))
        short = beside.short(one.extra(settings))
        if not short:
            text = f"{number} at once, and not {surge} (max_surge={settings.max_surge}): {why}"
            return replace(one, reduced=text if number < surge else "")
        why = short if number == surge else why
    if dry_run:
        return one
    if owed.by:  # their ends give back what their own surges take
        text = f"the end of what {', '.join(owed.by)} takes: beside that, {short}"
        return Waiting(text, MEASURE_SECS)
    return Refusal(f"{short}, or roll in place with --max-surge 0 --max-unavailable 1")
