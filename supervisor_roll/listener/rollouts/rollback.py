"""What follows a failed rollout: the command ``on_failure``, and then the rollback.

The command is to put the release back. The workers that the failed rollout left fresh are
then replaced in the same careful way, and those that are still outdated are kept. However
that ends, the rollout has failed, and is told so last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from supervisor_roll.listener.rollouts.active import ActiveRollouts, Ended
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.rollout.reports import Complete, Failed, Outcome
from supervisor_roll.rollout.run import ROLLING_BACK, TRANSITIONS, RunEvent
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from supervisor_roll.wire.program import Program


class Rollback:
    """Goes on with runs whose rollout has failed: ``failure`` is what that rollout told."""

    def __init__(
        self, active: ActiveRollouts, sides: SideProcesses, program: Callable[..., Program]
    ) -> None:
        self._active, self._sides, self._program = active, sides, program

    def after(self, ended: Ended) -> Ended | None:
        """How the run has ended; None if there is something left to do about it."""
        run, facts = ended.run, ended.facts
        if run.phase == ROLLING_BACK and isinstance(facts, Outcome):
            complete = isinstance(facts, Complete)
            back = (
                f"rolled back: {facts.replaced} of {facts.total} workers"
                if complete
                else f"the rollback {facts.kind}: {facts.why}"
            )
            return Ended(run, self._facts(run, back, rolled_back=complete))
        settings = run.rollout.settings if run.rollout else None
        if not isinstance(facts, Failed) or settings is None or not settings.on_failure:
            return ended
        if RunEvent.FAILED not in TRANSITIONS[run.phase]:
            return ended
        run.enter(RunEvent.FAILED)
        run.failure = facts
        self._active.say(run, f"failed; running on_failure: {settings.on_failure}")
        # Only once it is saved that it runs: a listener after this one must not run it again.
        self._active.outbox.starts.append(lambda: self._start(run, settings, facts.why))
        return None

    def _start(self, run: Run, settings: Settings, why: str) -> None:
        try:
            self._sides.command(
                run.namespec,
                settings.on_failure,
                self._program(run.namespec),
                why,
                settings.on_failure_timeout_secs,
            )
        except NotPossible as error:
            self._end(run, f"on_failure: {error}")

    def repaired(self, run: Run, result: Result) -> None:
        """Roll back what the failed rollout left, now that the command has ended."""
        if not result.ok:
            self._end(run, f"on_failure failed, and nothing was rolled back: {result.text}")
            return
        arbiter = self._active.registry.running(run.arbiter)
        if arbiter is None or run.rollout is None:
            self._end(run, "on_failure has run; its arbiter is gone")
            return
        self._active.say(run, f"on_failure has run ({result.secs:.1f} s)")
        now = self._active.clock()
        members = arbiter.outdated(now, self._active.registry.table.age_secs)
        for one in members:
            before = run.rollout.instances.get(one.id)
            # What we never heard of was forked after the failure: it may run either release.
            one.keep(before is not None and not before.fresh)
        if all(one.kept for one in members):
            self._end(run, "on_failure has run; no fresh worker was left to roll back")
            return
        self._active.say(run, "rolling back")
        run.enter(RunEvent.REPAIRED)
        failed = run.rollout
        budget = failed.settings.budget(arbiter.count)
        budget = replace(budget, surge=min(budget.surge, failed.budget.surge))
        run.rollout = WorkerRollout.of(
            failed.settings, members, arbiter.count, now, budget, cores=failed.cores
        )
        self._active.apply(run, run.rollout.begin())

    def cut_short(self, run: Run) -> None:
        """End the run: the listener was restarted while the command ran, which ended that."""
        self._end(run, "on_failure was cut short by a restart of the listener")

    def _end(self, run: Run, text: str) -> None:
        self._active.finish(run, self._facts(run, text))

    def _facts(self, run: Run, text: str, rolled_back: bool = False) -> Failed:
        """Return what the failed rollout told, what came of it (``text``), and what runs now."""
        failure = run.failure or Failed()
        arbiter = self._active.registry.running(run.arbiter)
        alive = [one.pid for one in arbiter.workers] if arbiter else []
        # After a rollback none runs the release that failed.
        outdated = [pid for pid in alive if rolled_back or pid in failure.outdated]
        return replace(
            failure,
            why=f"{failure.why}\n{text}".strip(),
            outdated=outdated,
            fresh=[pid for pid in alive if pid not in outdated],
            rolled_back=rolled_back,
        )
