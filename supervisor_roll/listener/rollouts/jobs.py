"""The queue: from a request to the last program's end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from supervisor_roll.listener.arbiters.releases import Releases
from supervisor_roll.listener.outbox import Outbox
from supervisor_roll.listener.rollouts.active import ActiveRollouts, Ended
from supervisor_roll.listener.rollouts.preflight import Preflights
from supervisor_roll.listener.rollouts.rollback import Rollback
from supervisor_roll.listener.rollouts.run import Job, Run
from supervisor_roll.listener.rollouts.start import RolloutStarter
from supervisor_roll.listener.rollouts.succession import SuccessorControl
from supervisor_roll.listener.side_processes.process import Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.run import (
    ADMISSION,
    ON_FAILURE,
    OVER,
    PREFLIGHT,
    ROLLING,
    RunEvent,
)
from supervisor_roll.wire.mailbox import (
    ABORT,
    DRY_RUN,
    PAUSE,
    RESUME,
    ROLLOUT,
    Request,
    Status,
)

log = logging.getLogger("supervisor_roll")

_EVENTS: dict[str, Callable[[str], ev.Event]] = {
    ABORT: ev.Aborted,
    PAUSE: ev.Paused,
    RESUME: ev.Resumed,
}


class Jobs:
    """Takes each job from program to program. ``statuses`` has the last end of each program.

    ``waiting`` are jobs whose next program's workers are being recycled, which gives way to them.
    """

    def __init__(
        self,
        active: ActiveRollouts,
        starter: RolloutStarter,
        successors: SuccessorControl,
        rollback: Rollback,
        preflights: Preflights,
        sides: SideProcesses,
        releases: Releases,
    ) -> None:
        self._active, self._starter, self._successors = active, starter, successors
        self._rollback, self._preflights = rollback, preflights
        self._sides, self._releases = sides, releases
        self._outbox: Outbox = active.outbox
        self.statuses: dict[str, Status] = {}
        self.waiting: dict[str, Job] = {}

    def is_busy(self, namespec: str) -> bool:
        """Whether it is being rolled, or is yet to be by a job under way, but for a recycling."""
        runs = [run for run in self._active.runs.values() if not run.job.recycles]
        jobs = [*self.waiting.values(), *(run.job for run in runs)]
        return any(run.namespec == namespec for run in runs) or any(
            namespec in job.left for job in jobs
        )

    def accept(self, request: Request) -> None:
        """Begin with a request, but for a ROLLUPDATE."""
        if request.kind in (ROLLOUT, DRY_RUN):
            job = Job(
                request.id,
                request.programs,
                request.values,
                request.by,
                request.at,
                request.wildcard,
                request.kind == DRY_RUN,
            )
            self.begin(job, request.parallel)
            return
        for namespec in request.programs:
            why_not = self._control(request, namespec)
            if why_not:
                self._outbox.report(request.id, namespec, reports.Refused(why_not))
        self._outbox.done.append(request.id)
        self.settle()

    def begin(self, job: Job, parallel: int | None = None) -> None:
        """Begin with a job; one without programs is over at once.

        ``parallel`` of them are rolled at once; None: as configured.
        """
        job.parallel = parallel or self._starter.parallel(job)
        self._go_on(job)
        self.settle()

    def settle(self) -> None:
        """Go on after what has ended: with a rollback, or else with the job's next programs."""
        while self._active.ended:
            ended = self._active.ended.popleft()
            if ended.run.phase == OVER:
                continue  # its rollout went wrong twice
            if ended.run.phase == ROLLING:
                ended = self._successors.closing(ended)
            final = self._rollback.after(ended)
            if final is not None:
                self._finish(final)
                self._go_on(final.run.job)
                for job in list(self.waiting.values()):
                    self._go_on(job)

    def tick(self) -> None:
        """Let time pass. Raises SupervisordError."""
        self.settle()
        self._successors.tick()
        for key, result in [*self._preflights.poll(), *self._sides.poll()]:
            if namespec := self._releases.told(key, result):
                self._outbox.unsaved.add(namespec)
            elif key in self._active.runs:
                run = self._active.runs[key]
                self._active.guarded(run, self._side_ended, run, result)
        for run in list(self._active.runs.values()):
            if run.phase == ADMISSION:
                self._active.guarded(run, self._starter.admit, run)
        self._active.pass_time()
        self.settle()

    def take_up(self, runs: list[Run], waiting: list[Job]) -> None:
        """Take up the runs of an earlier listener, each of which was saved with its job.

        ``waiting`` are the jobs of which nothing runs.
        """
        self.waiting = {job.id: job for job in waiting if job.left}
        self._active.runs.update({run.namespec: run for run in runs})
        jobs: dict[tuple[str, ...], Job] = {}
        for run in self._active.runs.values():
            saved = run.job
            run.job = job = jobs.setdefault((saved.id, *saved.programs), replace(saved, running=0))
            job.running += 1
            job.begun = max(job.begun, saved.begun, job.programs.index(run.namespec) + 1)
            job.unserved = job.unserved or saved.unserved

    def restored(self, run: Run) -> None:
        """Go on with a run of an earlier listener, whose processes beside it are gone."""
        self._successors.restored(run)
        if run.phase == ON_FAILURE:
            self._rollback.cut_short(run)
        elif run.phase == PREFLIGHT and run.rollout is None:
            run.enter(RunEvent.LOST)
        elif run.phase == PREFLIGHT:
            self._starter.check_again(run)

    def next_deadline(self) -> float | None:
        deadlines = (
            self._active.next_deadline(),
            self._preflights.next_deadline(),
            self._sides.next_deadline(),
            self._successors.next_deadline(),
        )
        return min((one for one in deadlines if one is not None), default=None)

    def _control(self, request: Request, namespec: str) -> str:
        """Abort, pause or resume a rollout under way; or say why not."""
        run = self._active.runs.get(namespec)
        if run is None:
            return "it is not being rolled"
        if run.phase == ON_FAILURE:
            return "it has failed, and on_failure is running, which ends on its own"
        if run.rollout is not None:
            self._active.handle(run, _EVENTS[request.kind](request.by))
        elif request.kind == ABORT:
            why = f"aborted by {request.by} before anything was touched"
            self._active.finish(run, reports.Aborted(why=why))
            self.settle()
        else:
            return f"it has not begun: there is nothing to {request.kind}"
        return ""

    def _go_on(self, job: Job) -> None:
        """Begin with the job's next programs, unless one of them fails."""
        self.waiting.pop(job.id, None)
        while job.left and job.running < job.parallel and not self._is_held(job):
            if self._is_recycled(job):
                self.waiting[job.id] = job
                self._outbox.unsaved.add("")
                break
            self._begin_next(job)
        if job.is_over:
            self._outbox.done.append(job.id)

    def _is_held(self, job: Job) -> bool:
        """Whether the end of one of its programs is to be waited for, or yet to be settled."""
        ended = any(one.run.job is job for one in self._active.ended)
        return ended or any(run.job is job and run.fails for run in self._active.runs.values())

    def _is_recycled(self, job: Job) -> bool:
        """Whether a recycling of its next program is to end first: it is given up for the job."""
        other = self._active.runs.get(job.left[0])
        if other is None or not other.job.recycles or job.recycles or job.unserved:
            return False
        by = f"{job.by}, who wants all of its workers replaced"
        if other.rollout is None:
            self._active.finish(other, reports.Aborted(why=f"aborted by {by}"))
        elif not other.fails and not job.dry_run:
            text = "a recycling of its workers is under way, and ends first"
            self._outbox.report(job.id, job.left[0], reports.Note(text))
            self._active.handle(other, ev.Aborted(by))
        return True

    def _begin_next(self, job: Job) -> None:
        """Begin with the job's next program."""
        run = Run(job, job.left[0], self._outbox.wall(), self._active.clock())
        job.begun, job.running = job.begun + 1, job.running + 1
        other = self._active.runs.get(run.namespec)
        if job.unserved:
            self._active.finish(run, reports.Skipped(job.unserved))
        elif other is not None:
            why = (
                f"it is being rolled already, for {self._outbox.wall() - other.since:.0f} s, by "
                f"{other.job.by}; to follow that: rollstatus --follow {run.namespec}; "
                f"to end it: rollabort {run.namespec}"
            )
            self._active.finish(run, reports.Refused(why))
        else:
            self._active.runs[run.namespec] = run
            self._outbox.unsaved |= {run.namespec, ""}
            if self._starter.begin(run):
                self._active.guarded(run, self._starter.admit, run)

    def _finish(self, ended: Ended) -> None:
        """End the run; its job goes on with what is left of it."""
        run, facts = ended.run, ended.facts
        run.enter(RunEvent.ENDED)
        current = self._active.runs.get(run.namespec)
        if current is run:
            del self._active.runs[run.namespec]
            self._preflights.drop(run.namespec)
            self._sides.drop(run.namespec)
        if isinstance(facts, reports.Outcome) and not run.job.recycles:
            self.statuses[run.namespec] = replace(
                run.status(), state=facts.kind, why=facts.why, ended=self._outbox.wall()
            )
            if not isinstance(facts, reports.Complete):
                why = f"not rolled, since {run.namespec} {facts.kind} before it"
                run.job.unserved = run.job.unserved or why
        self._active.ends.append(ended)
        self._active.past.append(ended)
        self._active.count(ended)
        if not (run.job.dry_run or run.job.recycles) and current in (run, None):
            self._active.attempts.append((run.namespec, facts.kind, ""))
        self._outbox.report(run.job.id, run.namespec, facts)
        self._outbox.unsaved.add("")
        run.job.running -= 1

    def _side_ended(self, run: Run, result: Result) -> None:
        """Go on after a preflight, or the command of on_failure."""
        if run.phase == ON_FAILURE:
            self._rollback.repaired(run, result)
        elif run.phase != PREFLIGHT:
            return
        elif run.job.dry_run:
            self._starter.admit(run, result)
        elif result.ok:
            text = f"preflight: the application loads ({result.secs:.1f} s)"
            self._active.say(run, text)
            run.enter(RunEvent.BEGUN)
            self._active.handle(run, ev.PreflightPassed())
        else:
            self._active.handle(run, ev.PrerequisiteFailed(f"preflight: {result.text}"))
