"""What must be known of a program before it is rolled, and what stands against rolling it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.arbiters.registry import ArbiterRegistry
from supervisor_roll.listener.edges import memory, process_limits
from supervisor_roll.listener.edges.memory import Cost
from supervisor_roll.listener.edges.process_limits import Need
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.rollouts import deployed, eligibility, strategy
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.listener.rollouts.silence import silence
from supervisor_roll.listener.rollouts.strategy import Choice
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.words import ARBITER
from supervisor_roll.wire.program import Program


@dataclass(frozen=True)
class Refusal:
    """The program is not rolled; ``skips``: nor is anything the matter with that."""

    why: str
    skips: bool = False
    choice: Choice | None = None


@dataclass(frozen=True)
class Waiting:
    """Look again soon. ``what`` is waited for."""

    what: str


@dataclass(frozen=True)
class Admission:
    """What is rolled, and how. ``full``: two full sets of workers may run (strategy arbiter)."""

    arbiter: Arbiter
    choice: Choice
    full: bool = False

    def budget(self, settings: Settings) -> Budget:
        budget = settings.budget(max(self.arbiter.count, 1))
        return replace(budget, surge=max(self.arbiter.count, 1)) if self.full else budget


def admit(
    run: Run, settings: Settings, registry: ArbiterRegistry, now: float
) -> Admission | Refusal | Waiting:
    """Return the arbiter to roll, all of whose workers are known; or why it is not, or not yet.

    ``now`` is on the clock.
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
        found = silence(registry.table, identity, spoke=arbiter is not None)
        young = registry.table.age_secs(identity) < settings.ready_timeout_secs
        barrier = registry.barrier(identity) if found.gunicorn else ""
        if barrier:
            return Refusal(f"nothing heard from its Gunicorn (pid {identity.pid}): {barrier}")
        if found.awaits and young and waits:
            return Waiting(found.awaits)
        skips = run.job.wildcard and not found.gunicorn
        return Refusal(found.why, skips=True) if skips else Refusal(found.why + found.rule)
    program = registry.program(run.namespec)
    with registry.looking_as(arbiter):
        elsewhere = deployed.elsewhere(arbiter.facts.places, program)
    # What the operator's command names, its workers' user may not be allowed to read.
    named = program is not None and _names(program, arbiter.facts.conf)
    with nullcontext() if named else registry.looking_as(arbiter):
        choice = strategy.choose(arbiter, settings, run.change, elsewhere)
    whole = choice.strategy == ARBITER
    why_not = eligibility.why_not_arbiter if whole else eligibility.why_not_workers
    why = choice.refused or why_not(arbiter, settings)
    renewed = whole and choice.changes
    if not why and arbiter.facts.reload and not renewed:
        why = eligibility.RELOADS  # what has changed may turn it off: a successor will say
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
    return _affordable(Admission(arbiter, choice), settings, registry.table, run.job.dry_run)


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
    found: Admission, settings: Settings, table: ProcessTable, dry_run: bool
) -> Admission | Refusal:
    """``found``, as far as there is room for it."""
    if found.choice.strategy == ARBITER and not settings.surge_given:
        # An operator who has said nothing about it gets the way that touches the old one least.
        whole = replace(found, full=True)
        if not _too_large(whole, settings, table):
            return whole
    why = _too_large(found, settings, table)
    return Refusal(why) if why and not dry_run else found


def _too_large(found: Admission, settings: Settings, table: ProcessTable) -> str:
    """Why there is no room for the surge; empty if there is."""
    cost, need = cost_of(found, settings, table), need_of(found, settings, table)
    if cost is not None and not cost.fits:
        return (
            f"it does not fit into memory: {cost.text}; free some, or roll in place "
            "with --max-surge 0 --max-unavailable 1"
        )
    if need is not None and not need.fits:
        return (
            f"it does not fit into the limit of processes: {need.text}; raise that, or roll in "
            "place with --max-surge 0 --max-unavailable 1"
        )
    return ""


def cost_of(found: Admission, settings: Settings, table: ProcessTable) -> Cost | None:
    """Return what the surge would take, judged by the workers now; None if unknown."""
    pids = [one.pid for one in found.arbiter.workers]
    room = table.room(found.arbiter.id.pid)
    return memory.cost(_extra(found, settings), table.measured(pids), room)


def need_of(found: Admission, settings: Settings, table: ProcessTable) -> Need | None:
    """As many processes as the surge would take, so judged; None where nothing limits them."""
    arbiter, extra = found.arbiter.id.pid, _extra(found, settings)
    others = table.threads(arbiter) if extra and found.choice.strategy == ARBITER else 0
    threads = [table.threads(one.pid) for one in found.arbiter.workers]
    return process_limits.need(extra, threads, others, table.processes_left(arbiter))


def _extra(found: Admission, settings: Settings) -> int:
    """How many more workers than now the rollout may have at once, its preflight's counted."""
    preflight = settings.preflight and found.choice.strategy != ARBITER
    return found.budget(settings).surge + int(preflight)
