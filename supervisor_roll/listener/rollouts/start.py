"""How a run begins: all that runs is gathered, the strategy is chosen, and a rollout made of it.

Or it is refused; or it was only asked what would be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.configuration.sections import BadConfiguration, group_of
from supervisor_roll.listener.edges.supervisord import Refused, Unreachable
from supervisor_roll.listener.rollouts.admission import Admission, Refusal, Waiting, admit
from supervisor_roll.listener.rollouts.dry_run import plan
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.listener.side_processes import process as preflight_rules
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.arbiter import ArbiterRollout
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import ARBITER, WORKERS
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from supervisor_roll.wire.successor import Reread

if TYPE_CHECKING:
    from supervisor_roll.listener.rollouts.jobs import Jobs

# A program that gathers for longer than that says so.
QUIET_SECS = 2.0


class RolloutStarter:
    """Takes runs up to their rollout's first actions."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def admit(self, run: Run) -> None:
        """Begin to roll once all that runs now is known; refuse what cannot be rolled."""
        settings = self._settings_of(run)
        if settings is None or not self._reread(run, settings):
            return
        found = self._found(run, settings)
        if isinstance(found, Admission) and found.choice.strategy == ARBITER:
            why = self._jobs.successors.obstacle(found.arbiter)
            found = Refusal(why) if why else found
        if isinstance(found, Refusal):
            self._refuse(run, found)
        elif isinstance(found, Waiting):
            waited = self._jobs.clock() - run.gathers_since
            text = f"waiting for {found.what}"
            # Once: how many have been heard may change each second.
            if waited > QUIET_SECS and text.split(":")[0] not in run.warnings:
                run.warnings.append(text.split(":")[0])
                self._jobs.outbox.report(run.job.id, run.namespec, reports.Note(text))
        elif run.job.dry_run:
            self._plan(run, settings, found)
        else:
            try:
                self._begin(run, settings, found)
            except NotPossible as error:
                self._jobs.over(run, reports.Refused(f"preflight: {error}; or set preflight=false"))

    def _found(self, run: Run, settings: Settings) -> Admission | Refusal | Waiting:
        jobs = self._jobs
        return admit(run, settings, jobs.registry, jobs.clock())

    def _refuse(self, run: Run, refusal: Refusal) -> None:
        choice = refusal.choice
        if run.job.dry_run and choice is not None:
            self._jobs.over(
                run,
                reports.Plan(
                    strategy=choice.strategy,
                    reasons=choice.reasons,
                    changes=choice.changes,
                    refused=refusal.why,
                ),
            )
        else:
            ended = reports.Skipped if refusal.skips else reports.Refused
            self._jobs.over(run, ended(refusal.why))

    def _reread(self, run: Run, settings: Settings) -> bool:
        """Learn what has changed in the program's section. False: the run has ended."""
        if run.reread:
            return True
        run.reread = True
        try:
            found = self._jobs.supervisord.reread()
            run.change = next((one for one in found.changes if one.namespec == run.namespec), None)
            self._tell_resized(run, found)
        except Unreachable as error:
            why = f"supervisord cannot read its configuration: {error}"
            if isinstance(error, Refused):
                why = f"supervisord cannot read its configuration: {error.text}"
            if isinstance(error, Refused) and error.code == Faults.UNKNOWN_METHOD:
                self._jobs.warn(
                    run.namespec,
                    (
                        "supervisord runs an earlier version of supervisor_roll: restart it once, "
                        "so that changes of the configuration are noticed"
                    ),
                )
            elif settings.strategy == WORKERS:
                self._jobs.warn(run.namespec, why)
            else:
                self._jobs.over(run, reports.Refused(why))
                return False
        return True

    def _tell_resized(self, run: Run, found: Reread) -> None:
        """Say of a group whose number of processes has changed that this is left to others."""
        resize = next((one for one in found.resized if one.group == group_of(run.namespec)), None)
        first = next(one for one in run.job.programs if group_of(one) == group_of(run.namespec))
        if resize is None or run.namespec != first:
            return
        lists = (("to be started", resize.added), ("to be stopped", resize.dropped))
        what = "; ".join(f"{', '.join(ones)} {how}" for how, ones in lists if ones)
        cure = resize.refused or f"supervisorctl rollupdate {resize.group} does that"
        self._jobs.warn(
            run.namespec, f"numprocs of {resize.group} has changed, which is left: {what}; {cure}"
        )

    def _settings_of(self, run: Run) -> Settings | None:
        """The program's settings with those of the job; None if they are bad: the run has ended."""
        try:
            return self._jobs.configured(run)
        except (BadSetting, BadConfiguration) as error:
            self._jobs.over(run, reports.Refused(str(error)))
            return None

    def _begin(self, run: Run, settings: Settings, found: Admission) -> None:
        arbiter, choice, now = found.arbiter, found.choice, self._jobs.clock()
        outdated = arbiter.outdated(now, self._jobs.registry.table.age_secs)
        if choice.strategy == ARBITER:
            run.arbiter, run.reasons = arbiter.id, choice.reasons
            run.rollout = ArbiterRollout(settings, outdated, arbiter.count, now, found.full)
        else:
            if settings.preflight:
                self.preflight(run, settings, arbiter)
            run.arbiter = arbiter.id
            run.rollout = WorkerRollout(
                settings, outdated, arbiter.count, now, cleared=not settings.preflight
            )
        if not choice.warning:  # what it leaves undone is still to be done
            self._jobs.updates.reconciler.began(run.namespec)
        self._jobs.take(run, run.rollout.begin())
        if choice.warning:
            self._jobs.warn(run.namespec, choice.warning)
        if choice.live:
            self._adopt(run)

    def _adopt(self, run: Run) -> None:
        keys = ", ".join(sorted(run.change.keys if run.change else ()))
        try:
            self._jobs.supervisord.adopt(run.namespec)
            self._jobs.outbox.report(
                run.job.id, run.namespec, reports.Note(f"now in effect: {keys}")
            )
        except Unreachable as error:
            self._jobs.warn(run.namespec, f"the changes of {keys} are not in effect: {error}")

    def preflight(
        self, run: Run, settings: Settings, arbiter: Arbiter, changed: bool = False
    ) -> None:
        """Raises NotPossible. ``changed``: by the configuration that was last reread."""
        program = self._jobs.program(run.namespec, changed)
        why = preflight_rules.objection(
            program.command, self._jobs.registry.table.executed(arbiter.id.pid).arguments
        )
        if why:
            raise NotPossible(why)
        worker = next(iter(arbiter.workers.values()))
        self._jobs.sides.preflight(
            run.namespec,
            program,
            worker.id.pid,
            worker.uid,
            arbiter.facts.get("PYTHONPATH", ""),
            settings.ready_timeout_secs,
        )

    def _plan(self, run: Run, settings: Settings, found: Admission) -> None:
        """A dry run: make the preflight, then tell the plan (in ``_side_ended``)."""
        if self._jobs.sides.runs(run.namespec):
            return
        if run.job.values.get("preflight") == "false":
            self._tell_plan(run, settings, found, None)  # it was asked for: nothing is run
            return
        try:
            run.arbiter = found.arbiter.id
            if "user" in found.choice.changes:
                raise NotPossible("the user has changed; the successor itself will be the proof")
            self.preflight(run, settings, found.arbiter, found.choice.strategy == ARBITER)
        except NotPossible as error:
            self._jobs.warn(run.namespec, f"no preflight: {error}")
            self._tell_plan(run, settings, found, None)

    def checked(self, run: Run, result: Result) -> None:
        """A dry run's preflight has ended: tell the plan."""
        settings = self._settings_of(run)
        if settings is None:
            return
        found = self._found(run, settings)
        if isinstance(found, Refusal):
            self._refuse(run, found)
        elif isinstance(found, Admission):
            self._tell_plan(run, settings, found, result)
        else:
            why = "its workers were replaced during the preflight"
            self._jobs.over(run, reports.Refused(why))

    def _tell_plan(
        self, run: Run, settings: Settings, found: Admission, result: Result | None
    ) -> None:
        table = self._jobs.registry.table
        self._jobs.over(run, plan(found, settings, table, result))
