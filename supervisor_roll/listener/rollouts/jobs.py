"""Jobs and runs: from a request to the last program's end."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.arbiters.registry import ArbiterRegistry
from supervisor_roll.listener.arbiters.releases import Releases
from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.supervisord import Supervisord, Unreachable
from supervisor_roll.listener.outbox import Outbox
from supervisor_roll.listener.reconcile.executor import OperationExecutor
from supervisor_roll.listener.rollouts.rollback import Rollback
from supervisor_roll.listener.rollouts.run import Job, Run
from supervisor_roll.listener.rollouts.start import RolloutStarter
from supervisor_roll.listener.rollouts.succession import SuccessorControl, is_successor
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.arbiter import ArbiterRollout
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.reports import Facts, Outcome
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.mailbox import (
    ABORT,
    DRY_RUN,
    PAUSE,
    RESUME,
    ROLLOUT,
    UPDATE,
    Request,
    Status,
)
from supervisor_roll.wire.program import Program

log = logging.getLogger("supervisor_roll")

# How often what cannot notify us is looked at while a program gathers.
LOOK_SECS = 1.0
# supervisor.xmlrpc.Faults: supervisord was started with an earlier version of this package.
UNKNOWN_METHOD = 1
# A program that gathers for longer than that says so.
QUIET_SECS = 2.0
_EVENTS: dict[str, Callable[[str], ev.Event]] = {
    ABORT: ev.Aborted,
    PAUSE: ev.Paused,
    RESUME: ev.Resumed,
}


class Jobs:
    """What is being rolled, and what came of what was. ``statuses`` has the last end of each."""

    def __init__(
        self,
        outbox: Outbox,
        registry: ArbiterRegistry,
        supervisord: Supervisord,
        configuration: Callable[[], Configuration],
        program: Callable[..., Program],
        sides: SideProcesses,
        clock: Callable[[], float],
    ) -> None:
        self.outbox, self.registry, self.supervisord = outbox, registry, supervisord
        self.successors = SuccessorControl(self, supervisord, clock)
        self.program, self.sides = program, sides
        self.starter, self.rollback = RolloutStarter(self), Rollback(self)
        self.releases = Releases(sides, program)
        self._waiting: deque[Job] = deque()
        self._advancing = False
        self._looks: deque[tuple[str, bool]] = deque()
        self.configuration, self.clock = configuration, clock
        self.runs: dict[str, Run] = {}
        self.statuses: dict[str, Status] = {}
        self.updates = OperationExecutor(self, supervisord)

    def accept(self, request: Request) -> None:
        """Take a request out of the mailbox, and begin with it.

        Raises Unreachable; it stays in the mailbox then.
        """
        if request.kind == UPDATE:
            self.updates.asked(request)
        elif request.kind not in (ROLLOUT, DRY_RUN):
            for namespec in request.programs:
                self._control(request, namespec)
            self.outbox.done.append(request.id)
        else:
            self.begin(
                Job(
                    request.id,
                    request.programs,
                    request.values,
                    request.by,
                    request.at,
                    request.wildcard,
                    request.kind == DRY_RUN,
                )
            )
        self.outbox.taken.append(request.id)

    def begin(self, job: Job) -> None:
        """Begin with a job; one without programs is over at once."""
        self.outbox.unsaved = True
        self._waiting.append(job)
        self._advance()

    def feed(self, arbiter: Arbiter, event: ev.Event) -> None:
        """Something happened to an arbiter or its worker: tell the rollout, if there is one."""
        run = self.runs.get(arbiter.namespec)
        if run is None or run.rolling is None:
            return
        if run.arbiter == arbiter.id or is_successor(run, arbiter.id):
            self.handle(run, run.rolling, event)

    def tick(self) -> None:
        """Let time pass. Raises Unreachable."""
        self.successors.tick()
        self.updates.tick()
        now = self.clock()
        for key, result in self.sides.poll():
            run = self.runs.get(key)
            if self.releases.told(key, result):
                self.outbox.unsaved = True
            elif run is not None:
                self._side_ended(run, result)
        for run in list(self.runs.values()):
            rolling = run.rolling
            if run.rollout is None:
                self._gather(run)
            elif rolling and rolling.next_deadline is not None and rolling.next_deadline <= now:
                self.handle(run, rolling, ev.TimePassed())
        # Not before all that was said has been heard.
        while self._looks:
            self._look(*self._looks.popleft())

    def _gather(self, run: Run) -> None:
        """What a program tells of itself must not cost the others their turn, whatever it is."""
        try:
            self.starter.admit(run)
        except Unreachable:
            raise
        except Exception as error:
            log.exception("%s", run.namespec)
            why = f"what it reports could not be used: {error!r:.200}"
            self.over(run, reports.Refused(why))

    def restored(self, run: Run) -> None:
        """A run was taken up from an earlier listener, whose processes beside it are gone."""
        rollout = run.rolling
        self.successors.restored(run)
        if run.failure is not None and not run.repaired:
            self.rollback.cut_short(run)
        elif rollout is not None and not rollout.cleared:
            arbiter = self.registry.running(run.arbiter)
            try:
                if arbiter is not None:
                    self.starter.preflight(run, rollout.settings, arbiter)
            except (NotPossible, StopIteration) as error:
                self.handle(run, rollout, ev.PrerequisiteFailed(f"preflight: {error}"))

    def next_deadline(self) -> float | None:
        deadlines = [
            run.rollout.next_deadline if run.rollout else self.clock() + LOOK_SECS
            for run in self.runs.values()
        ]
        deadlines += [
            self.sides.next_deadline(),
            self.successors.next_deadline(),
            self.updates.next_deadline(),
        ]
        return min((one for one in deadlines if one is not None), default=None)

    def fresh(self, arbiter: Arbiter, worker: InstanceId) -> Instance | None:
        """The worker as a fresh one of a rollout under way; None if it is not one."""
        run = self.runs.get(arbiter.namespec)
        instance = run.rolling.instances.get(worker) if run and run.rolling else None
        return instance if instance and instance.fresh else None

    def leaving(self, arbiter: Arbiter) -> int:
        """How many of its workers a rollout under way has asked to go."""
        run = self.runs.get(arbiter.namespec)
        gone = run.rolling.instances.leaving if run is not None and run.rolling else []
        return len([one for one in gone if one.id in arbiter.workers])

    def succeeds(self, arbiter: Arbiter) -> bool:
        """Whether the arbiter is the successor of a rollout under way, promoted or not."""
        run = self.runs.get(arbiter.namespec)
        return run is not None and is_successor(run, arbiter.id)

    def drain_secs(self, arbiter: Arbiter) -> float | None:
        """How long what the arbiter has may take to drain; None where no rollout says it.

        A successor that is discarded has its own ``graceful_timeout``: it may hang.
        """
        run = self.runs.get(arbiter.namespec)
        if run is None or run.rollout is None or arbiter.successor:
            return None
        return run.rollout.settings.drain_timeout_secs

    def started(self, arbiter: Arbiter, worker: InstanceId, age: int, surplus: bool) -> ev.Started:
        """What a worker of the arbiter is to the rollout under way."""
        run = self.runs.get(arbiter.namespec)
        if run is None or not isinstance(run.rollout, ArbiterRollout):
            return ev.Started(worker, age, surplus)
        return ev.Started(worker, age, surplus, fresh=is_successor(run, arbiter.id))

    def measured(self, arbiter: Arbiter, worker: InstanceId, requests: int, errors: int) -> None:
        """A worker told what it has answered since its boot."""
        run = self.runs.get(arbiter.namespec)
        event = run.measured(worker, (requests, errors)) if run else None
        if event is not None:
            self.feed(arbiter, event)

    def watch_secs(self, namespec: str) -> float:
        """How long, from now on, workers are to be watched: a fresh one has become ready."""
        run = self.runs.get(namespec)
        settings = run.rollout.settings if run and run.rollout else None
        return settings.min_ready_secs + LOOK_SECS if settings and settings.min_ready_secs else 0.0

    def warn(self, namespec: str, text: str) -> None:
        """Tell who follows the program's rollout, once for each text."""
        run = self.runs.get(namespec)
        if run is not None and text not in run.warnings:
            run.warnings.append(text)
            self.outbox.report(run.job.id, namespec, reports.Warned(text))

    def configured(self, run: Run) -> Settings:
        """The run's settings: the program's, with those of its request.

        Raises BadSetting and BadConfiguration.
        """
        return self.configuration().settings_for(run.namespec).asked(run.job.values)

    def settings(self, namespec: str) -> Settings:
        """The program's settings; the defaults where they are bad, which is logged."""
        try:
            return self.configuration().settings_for(namespec)
        except (BadSetting, BadConfiguration) as error:
            log.error("%s: %s", namespec, error)
            return Settings()

    # --- jobs -----------------------------------------------------------------------------------

    def _control(self, request: Request, namespec: str) -> None:
        """Abort, pause or resume a rollout under way."""
        run = self.runs.get(namespec)
        if run is None:
            self.outbox.report(request.id, namespec, reports.Refused("it is not being rolled"))
        elif run.rolling is not None:
            self.handle(run, run.rolling, _EVENTS[request.kind](request.by))
        elif run.failure is not None:
            why = "it has failed, and on_failure is running, which ends on its own"
            self.outbox.report(request.id, namespec, reports.Refused(why))
        elif request.kind == ABORT:
            why = f"aborted by {request.by} before anything was touched"
            self.over(run, reports.Aborted(why=why))
        else:
            why = f"it has not begun: there is nothing to {request.kind}"
            self.outbox.report(request.id, namespec, reports.Refused(why))

    def _advance(self) -> None:
        """Go on with the jobs whose last program has ended, in a loop: there may be hundreds."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._waiting:
                self._next(self._waiting.popleft())
        finally:
            self._advancing = False

    def _next(self, job: Job) -> None:
        """Begin with the job's next program."""
        if job.over:
            self.outbox.done.append(job.id)
            return
        namespec = job.namespec
        run = Run(job, namespec, self.outbox.wall(), self.clock())
        other = self.runs.get(namespec)
        if job.unserved:
            self.over(run, reports.Skipped(job.unserved))
        elif other is not None:
            why = (
                f"it is being rolled already, for {self.outbox.wall() - other.since:.0f} s, by "
                f"{other.job.by}; to follow that: rollstatus --follow {namespec}; "
                f"to end it: rollabort {namespec}"
            )
            self.over(run, reports.Refused(why))
        else:
            self.runs[namespec] = run
            self.starter.admit(run)

    def over(self, run: Run, facts: Facts) -> None:
        """The run has ended as ``facts`` tell; the job goes on with what is left of it."""
        if self.runs.get(run.namespec) is run:
            del self.runs[run.namespec]
            self.sides.drop(run.namespec)
        complete = isinstance(facts, reports.Complete)
        if isinstance(facts, Outcome):
            self.statuses[run.namespec] = replace(
                run.status(), state=facts.kind, why=facts.why, ended=self.outbox.wall()
            )
            if not complete:
                run.job.unserved = f"not rolled, since {run.namespec} {facts.kind} before it"
        if not run.job.dry_run:
            self.updates.reconciler.ended(run.namespec, complete)
        self.outbox.report(run.job.id, run.namespec, facts)
        run.job.index += 1
        self._waiting.append(run.job)
        self._advance()

    # --- runs -----------------------------------------------------------------------------------

    def _side_ended(self, run: Run, result: Result) -> None:
        """A preflight, or the command of on_failure, has ended."""
        if run.failure is not None:
            self.rollback.repaired(run, result)
        elif run.rolling is not None:
            if result.ok:
                text = f"preflight: the application loads ({result.secs:.1f} s)"
                self.outbox.report(run.job.id, run.namespec, reports.Note(text))
                self.handle(run, run.rolling, ev.PreflightPassed())
            else:
                self.handle(run, run.rolling, ev.PrerequisiteFailed(f"preflight: {result.text}"))
        elif run.job.dry_run:
            self.starter.checked(run, result)

    def handle(self, run: Run, rollout: Rollout, event: ev.Event) -> None:
        self.outbox.unsaved = True
        self.take(run, rollout.handle(event, self.clock()))

    def _look(self, namespec: str, successor: bool) -> None:
        """Tell a rollout which workers an arbiter has, by the process table."""
        run = self.runs.get(namespec)
        rollout = run.rolling if run is not None else None
        if run is None or rollout is None:
            return
        of = run.arbiter
        if successor:
            of = rollout.successor if isinstance(rollout, ArbiterRollout) else None
        arbiter = self.registry.running(of)
        if arbiter is not None:
            workers = tuple(self.registry.shown(arbiter))
            self.handle(run, rollout, ev.Observed(workers, successor))

    def take(self, run: Run, actions: list[ev.Action]) -> None:
        for action in actions:
            if isinstance(action, ev.Look):
                self._looks.append((run.namespec, action.successor))
            elif not isinstance(action, Facts):
                self.outbox.actions.append((run.namespec, action))
            elif isinstance(action, Outcome):
                outcome = self.successors.closing(run, action)
                if not self.rollback.takes(run, outcome):
                    self.over(run, outcome)
            else:
                self.outbox.report(run.job.id, run.namespec, run.completed(action))
