"""What follows a failed rollout: the command ``on_failure``, and then the rollback.

The command is to put the release back. The workers that the failed rollout left fresh are
then replaced in the same careful way, and those that are still outdated are kept. However
that ends, the rollout has failed, and is told so last; nothing here is done twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.rollout.reports import Complete, Failed, Note, Outcome
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.worker_rollout import WorkerRollout

if TYPE_CHECKING:
    from supervisor_roll.listener.rollouts.jobs import Jobs


class Rollback:
    """A run in its aftermath has ``failure``, what its rollout told when it failed."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def takes(self, run: Run, outcome: Outcome) -> bool:
        """A rollout has ended: whether there is something left to do about it."""
        if run.failure is not None:
            # The rollback has ended.
            complete = isinstance(outcome, Complete)
            back = (
                f"rolled back: {outcome.replaced} of {outcome.total} workers"
                if complete
                else f"the rollback {outcome.kind}: {outcome.why}"
            )
            self._end(run, back, rolled_back=complete)
            return True
        settings = run.rollout.settings if run.rollout else None
        if not isinstance(outcome, Failed) or settings is None or not settings.on_failure:
            return False
        run.failure = outcome
        self._say(run, f"failed; running on_failure: {settings.on_failure}")
        # Only once it is saved that it runs: a listener after this one must not run it again.
        self._jobs.outbox.starts.append(lambda: self._start(run, settings, outcome.why))
        return True

    def _start(self, run: Run, settings: Settings, why: str) -> None:
        try:
            self._jobs.sides.command(
                run.namespec,
                settings.on_failure,
                self._jobs.program(run.namespec),
                why,
                settings.on_failure_timeout_secs,
            )
        except NotPossible as error:
            self._end(run, f"on_failure: {error}")

    def repaired(self, run: Run, result: Result) -> None:
        """The command has ended: roll back what the failed rollout left."""
        if not result.ok:
            self._end(run, f"on_failure failed, and nothing was rolled back: {result.text}")
            return
        run.repaired = True
        arbiter = self._jobs.registry.running(run.arbiter)
        if arbiter is None or run.rollout is None:
            self._end(run, "on_failure has run; its arbiter is gone")
            return
        self._say(run, f"on_failure has run ({result.secs:.1f} s)")
        now = self._jobs.clock()
        members = arbiter.outdated(now, self._jobs.registry.table.age_secs)
        for one in members:
            before = run.rollout.instances.get(one.id)
            # What we never heard of was forked after the failure: it may run either release.
            one.kept = one.fresh = one.available = before is not None and not before.fresh
        if all(one.kept for one in members):
            self._end(run, "on_failure has run; no fresh worker was left to roll back")
            return
        self._say(run, "rolling back")
        run.rollout = WorkerRollout(run.rollout.settings, members, arbiter.count, now)
        self._jobs.take(run, run.rollout.begin())

    def cut_short(self, run: Run) -> None:
        """The listener was restarted while the command ran, which ended it."""
        self._end(run, "on_failure was cut short by a restart of the listener")

    def _end(self, run: Run, text: str, rolled_back: bool = False) -> None:
        failure = run.failure or Failed()
        arbiter = self._jobs.registry.running(run.arbiter)
        alive = [one.pid for one in arbiter.workers] if arbiter else []
        # After a rollback none runs the release that failed.
        outdated = [pid for pid in alive if rolled_back or pid in failure.outdated]
        fresh = [pid for pid in alive if pid not in outdated]
        self._jobs.over(
            run,
            replace(
                failure,
                why=f"{failure.why}\n{text}".strip(),
                outdated=outdated,
                fresh=fresh,
                rolled_back=rolled_back,
            ),
        )

    def _say(self, run: Run, text: str) -> None:
        self._jobs.outbox.report(run.job.id, run.namespec, Note(text))
