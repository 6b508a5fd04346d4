"""How a run begins: once all that runs is known, its strategy is chosen, and a rollout made.

Or it is refused; or it was only asked what would be done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.configuration.sections import (
    BadConfiguration,
    Configuration,
    group_of,
)
from supervisor_roll.listener.edges.supervisord import Refused, Supervisord, SupervisordError
from supervisor_roll.listener.rollouts import dry_run
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.admission import Admission, Refusal, Waiting, admit
from supervisor_roll.listener.rollouts.preflight import Preflights
from supervisor_roll.listener.rollouts.run import Job, Run
from supervisor_roll.listener.rollouts.socket_keeper import SocketKeeper
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.run import ADMISSION, RunEvent
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import ARBITER, WORKERS
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from supervisor_roll.wire.successor import Reread

log = logging.getLogger("supervisor_roll")

# A program whose admission takes longer than that says so.
QUIET_SECS = 2.0


class RolloutStarter:
    """Takes runs up to their rollout's first actions."""

    def __init__(
        self,
        active: ActiveRollouts,
        supervisord: Supervisord,
        keeper: SocketKeeper,
        preflights: Preflights,
        configuration: Callable[[], Configuration],
    ) -> None:
        self._active, self._supervisord, self._keeper = active, supervisord, keeper
        self._preflights, self._configuration = preflights, configuration
        self._found: dict[str, tuple[Configuration, Reread]] = {}  # by job

    def parallel(self, job: Job) -> int:
        """Return how many programs of the job are rolled at once, by the configuration."""
        try:
            return self._configuration().parallel
        except BadConfiguration:
            return 1  # each is refused
        except BadSetting as error:
            self._active.outbox.report(job.id, "", reports.Warned(f"{error}: one at a time"))
            return 1

    def begin(self, run: Run) -> bool:
        """Learn what has changed in the program's section. False: the run has ended by that."""
        settings = self._settings_of(run)
        if settings is None:
            return False
        if run.job.recycles:
            return True  # what runs is what is to run
        try:
            found = self._reread(run.job)
            run.change = next((one for one in found.changes if one.namespec == run.namespec), None)
            self._warn_of_resize(run, found)
        except SupervisordError as error:
            text = error.text if isinstance(error, Refused) else str(error)
            why = f"supervisord cannot read its configuration: {text}"
            if isinstance(error, Refused) and error.code == Faults.UNKNOWN_METHOD:
                why = (
                    "supervisord runs an earlier version of supervisor_roll: restart it once, "
                    "so that changes of the configuration are noticed"
                )
            elif settings.strategy != WORKERS:
                self._active.finish(run, reports.Refused(why))
                return False
            self._active.warn(run.namespec, why)
        return True

    def admit(self, run: Run, checked: Result | None = None) -> None:
        """Begin to roll once all that runs now is known; refuse what cannot be rolled.

        ``checked`` is how a dry run's preflight has ended.
        """
        settings, now = self._settings_of(run), self._active.clock()
        if settings is None or now < run.look_at:
            return
        found = admit(run, settings, self._active.registry, self._active.runs.values(), now)
        if isinstance(found, Admission) and found.choice.strategy == ARBITER:
            why_not = self._keeper.recover_sockets(found.arbiter)
            found = Refusal(why_not) if why_not else found
        if isinstance(found, Waiting) and checked is not None:
            found = Refusal("its workers were replaced during the preflight")
        if isinstance(found, Refusal):
            self._refuse(run, found)
        elif isinstance(found, Waiting):
            run.look_at = now + found.secs
            if now - run.gathers_since > QUIET_SECS:
                # Once: how many have reported may change each second.
                text = f"waiting for {found.what}"
                self._active.say_once(run, reports.Note(text), text.split(":")[0])
        elif run.job.dry_run:
            self._tell_reduced(run, found)
            self._plan(run, settings, found, checked)
        else:
            self._roll(run, settings, found)

    def check_again(self, run: Run) -> None:
        """Make a rollout's preflight again, which was lost with the listener that ran it."""
        if self._active.registry.running(run.arbiter) is None or run.rollout is None:
            return
        try:
            self._preflights.start(run.namespec, run.rollout.settings.ready_timeout_secs)
        except NotPossible as error:
            self._active.handle(run, ev.PrerequisiteFailed(f"preflight: {error}"))

    def _reread(self, job: Job) -> Reread:
        """Have supervisord read the files, once a job: it answers nobody meanwhile.

        Again if they have changed. Raises SupervisordError.
        """
        jobs = {run.job.id for run in self._active.runs.values()}
        self._found = {id: found for id, found in self._found.items() if id in jobs}
        configuration = self._configuration()
        if job.id not in self._found or self._found[job.id][0] is not configuration:
            self._found[job.id] = configuration, self._supervisord.reread()
        return self._found[job.id][1]

    def _settings_of(self, run: Run) -> Settings | None:
        """Return the program's settings with those of the job; None, and the end, if bad."""
        try:
            return run.settings_by(self._configuration())
        except (BadSetting, BadConfiguration) as error:
            self._active.finish(run, reports.Refused(str(error)))
            return None

    def _warn_of_resize(self, run: Run, found: Reread) -> None:
        """Say of a group whose number of processes has changed that this is left to others."""
        resize = next((one for one in found.resized if one.group == group_of(run.namespec)), None)
        first = next(one for one in run.job.programs if group_of(one) == group_of(run.namespec))
        if resize is None or run.namespec != first:
            return
        lists = (("to be started", resize.added), ("to be stopped", resize.dropped))
        what = "; ".join(f"{', '.join(ones)} {how}" for how, ones in lists if ones)
        cure = resize.refused or f"supervisorctl rollupdate {resize.group} does that"
        self._active.warn(
            run.namespec, f"numprocs of {resize.group} has changed, which is left: {what}; {cure}"
        )

    def _refuse(self, run: Run, refusal: Refusal) -> None:
        if run.job.dry_run and refusal.choice is not None:
            self._active.finish(run, dry_run.refused(refusal.choice, refusal.why))
        else:
            ended = reports.Skipped if refusal.skips else reports.Refused
            self._active.finish(run, ended(refusal.why))

    def _roll(self, run: Run, settings: Settings, found: Admission) -> None:
        arbiter, choice, now = found.arbiter, found.choice, self._active.clock()
        table = self._active.registry.table
        outdated = arbiter.outdated(now, table.age_secs)
        if run.job.recycles:
            recycled = arbiter.next_of(run.job.recycles)
            for one in outdated:
                one.keep(one.id not in {due.id for due in recycled})
            run.reasons = [f"worker {one.id.pid} is recycled: {one.due}" for one in recycled]
            log.info("%s: %s", run.namespec, "; ".join(run.reasons))
        checks = settings.preflight and choice.strategy != ARBITER
        if checks:
            try:
                self._preflights.start(run.namespec, settings.ready_timeout_secs)
            except NotPossible as error:
                why = f"preflight: {error}; or set preflight=false"
                self._active.finish(run, reports.Refused(why))
                return
        run.arbiter, run.reasons = arbiter.id, run.reasons or choice.reasons
        strategy: type[Rollout] = ArbiterRollout if choice.strategy == ARBITER else WorkerRollout
        run.rollout = strategy.of(
            settings,
            outdated,
            arbiter.count,
            now,
            found.budget,
            cores=table.cores(arbiter.id.pid),
            cleared=not checks,
        )
        run.worker_bytes = max(found.resources.sizes, default=0)
        run.worker_threads = max(found.resources.threads, default=1)
        run.enter(RunEvent.CHECKING if checks else RunEvent.BEGUN)
        if not choice.warning and not run.job.recycles:  # what it leaves undone is still to be done
            digest = run.change.digest if run.change else ""
            self._active.attempts.append((run.namespec, reports.Began.kind, digest))
        self._active.apply(run, run.rollout.begin())
        self._tell_reduced(run, found)
        if choice.warning:
            self._active.warn(run.namespec, choice.warning)
        if choice.live:
            self._adopt(run)

    def _tell_reduced(self, run: Run, found: Admission) -> None:
        if found.reduced:
            self._active.say_once(run, reports.Note(found.reduced), "reduced")

    def _adopt(self, run: Run) -> None:
        keys = ", ".join(sorted(run.change.keys if run.change else ()))
        try:
            self._supervisord.adopt(run.namespec)
            self._active.say(run, f"now in effect: {keys}")
        except SupervisordError as error:
            self._active.warn(run.namespec, f"the changes of {keys} are not in effect: {error}")

    def _plan(self, run: Run, settings: Settings, found: Admission, checked: Result | None) -> None:
        """Tell what would be done, after a preflight if one is possible and not unwanted."""
        if run.phase == ADMISSION and run.job.values.get("preflight") != "false":
            changed = found.choice.strategy == ARBITER
            try:
                self._preflights.start(run.namespec, settings.ready_timeout_secs, changed)
                run.enter(RunEvent.CHECKING)
                return
            except NotPossible as error:
                self._active.warn(run.namespec, f"no preflight: {error}")
        self._active.finish(run, dry_run.plan(found, settings, checked))
