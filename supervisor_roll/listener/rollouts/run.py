"""What was asked for (jobs) and what is being done about it (runs)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from supervisor_roll.listener.configuration.sections import Configuration
from supervisor_roll.listener.rollouts.saved_rollout import from_json, to_json
from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId, Measured, RequestCounts
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.reports import Began, Facts, Failed, Promoted, Succeeded, WorkerLife
from supervisor_roll.rollout.run import (
    ADMISSION,
    ON_FAILURE,
    PREFLIGHT,
    ROLLING,
    ROLLING_BACK,
    RunEvent,
    following,
)
from supervisor_roll.rollout.settings import Settings, check_asked
from supervisor_roll.rollout.words import COMPLETE, FINAL, PROGRESSING
from supervisor_roll.wire.codec import from_data
from supervisor_roll.wire.mailbox import Parallel, Status
from supervisor_roll.wire.successor import Change

_WITH_ROLLOUT = (PREFLIGHT, ROLLING, ON_FAILURE, ROLLING_BACK)


@dataclass
class Job:
    """One request: its programs are begun with in their order, ``parallel`` of them at once.

    So many were ``begun`` with, and so many of these are ``running``.
    """

    id: str
    programs: list[str]
    values: dict[str, str]
    by: str
    at: float
    wildcard: bool = False
    dry_run: bool = False
    parallel: Parallel = 1
    begun: int = 0
    running: int = 0
    unserved: str = ""  # why the programs that are left will not be rolled
    recycles: list[InstanceId] = field(default_factory=list)  # if only these are to be replaced

    @property
    def left(self) -> list[str]:
        """The programs that were not begun with."""
        return self.programs[self.begun :]

    @property
    def is_over(self) -> bool:
        return not self.left and not self.running

    @classmethod
    def from_data(cls, saved: dict[str, Any]) -> Job:
        """Return the job that was saved. Raises BadMessage and BadSetting."""
        job = from_data(cls, saved)
        check_asked(job.values)
        return job


@dataclass
class Watched:
    """What one worker has answered: when it was first heard of in this run, and now."""

    id: InstanceId
    fresh: bool
    before: tuple[int, int]  # requests, errors
    now: tuple[int, int]


@dataclass
class Run:
    """One program's turn in a job."""

    job: Job
    namespec: str
    since: float  # epoch seconds, for people
    gathers_since: float  # on the clock, as is look_at
    phase: str = ADMISSION
    arbiter: InstanceId | None = None
    rollout: Rollout | None = None
    said: list[str] = field(default_factory=list)  # what is not to be said to its followers again
    failure: Failed | None = None  # what its rollout told when it failed
    watched: list[Watched] = field(default_factory=list)
    change: Change | None = None
    reasons: list[str] = field(default_factory=list)  # why this strategy
    worker_bytes: int = 0  # what the largest of its workers took as it began
    worker_threads: int = 1
    release: str = ""  # what its workers ran as it began
    promoted_at: float = 0.0  # epoch seconds: since then the old arbiter drains; 0: not yet
    gone: list[WorkerLife] = field(default_factory=list)  # the workers that have left meanwhile
    look_at: float = 0.0  # not before is it to be looked whether it may begin

    @property
    def fails(self) -> bool:
        """Whether it is sure not to complete."""
        return self.failure is not None or (
            self.rollout is not None and self.rollout.wanted != COMPLETE
        )

    @property
    def rolling(self) -> Rollout | None:
        """Its rollout, unless that has ended."""
        return None if self.rollout is None or self.rollout.state in FINAL else self.rollout

    def enter(self, event: RunEvent) -> None:
        """Go on to the phase that ``event`` leads to. Raises IllegalEvent."""
        self.phase = following(self.phase, event)

    def settings_by(self, configuration: Configuration) -> Settings:
        """Return its program's settings, with those of its request. Raises BadSetting."""
        settings = configuration.settings_for(self.namespec).asked(self.job.values)
        return settings.for_recycling() if self.job.recycles else settings

    def is_successor(self, arbiter: InstanceId) -> bool:
        """Whether the arbiter is the successor in this run, promoted or not."""
        return isinstance(self.rollout, ArbiterRollout) and self.rollout.successor == arbiter

    def measured(self, worker: InstanceId, answered: tuple[int, int]) -> Measured | None:
        """Add what a worker has answered, and return the sums; None if it does not count."""
        instance = self.rolling.instances.get(worker) if self.rolling else None
        if instance is None or instance.wanted_gone or instance.kept:
            return None
        known = next((one for one in self.watched if one.id == worker), None)
        if known is None:
            # From now on, fresh or outdated: only the same seconds can be compared.
            known = Watched(worker, instance.fresh, answered, answered)
            self.watched.append(known)
        known.now = answered
        return Measured(self._tally(True), self._tally(False))

    def _tally(self, fresh: bool) -> RequestCounts:
        ones = [one for one in self.watched if one.fresh == fresh]
        return RequestCounts(
            sum(one.now[0] - one.before[0] for one in ones),
            sum(one.now[1] - one.before[1] for one in ones),
        )

    def completed(self, facts: Facts) -> Facts:
        """Return what the rollout reports, with what only the run knows of it."""
        pid = self.arbiter.pid if self.arbiter else 0
        if isinstance(facts, Began):
            changes = self.change.keys if self.change else {}
            return replace(facts, arbiter=pid, reasons=self.reasons, changes=changes)
        return replace(facts, old=pid) if isinstance(facts, Succeeded | Promoted) else facts

    def status(self) -> Status:
        """Return what rollstatus shows of it."""
        rollout = self.rollout
        if rollout is None:
            return Status(PROGRESSING, self.since, self.job.by, self.job.id)
        status = Status(
            rollout.state,
            self.since,
            self.job.by,
            self.job.id,
            rollout.why,
            rollout.replaced,
            rollout.total,
            len(rollout.instances.ready),
            rollout.desired,
            rollout.min_ready,
            strategy=rollout.strategy,
            outdated=[one.id.pid for one in rollout.instances if not one.fresh],
            fresh=[one.id.pid for one in rollout.instances if one.fresh],
        )
        if not isinstance(rollout, ArbiterRollout):
            return status
        old = self.arbiter.pid if self.arbiter and not rollout.old_gone else 0
        new = rollout.successor.pid if rollout.successor else 0
        done = min(rollout.became_available, rollout.goal) if new else 0
        status = replace(status, done=done, total=rollout.goal)
        if rollout.promoted:
            return replace(status, arbiter=new, retiring=old)
        return replace(status, arbiter=old, successor=new)

    def to_data(self) -> dict[str, Any]:
        """Return what is saved of it, for ``wire.codec``."""
        return {
            **vars(self),
            "rollout": None if self.rollout is None else to_json(self.rollout),
        }

    @classmethod
    def from_data(cls, saved: dict[str, Any]) -> Run:
        """Return the run that was saved. Raises BadMessage."""
        run = from_data(cls, {**saved, "rollout": None})
        rollout = saved.get("rollout")
        run.rollout = None if rollout is None else from_json(rollout)
        phases = (ADMISSION, PREFLIGHT) if run.rollout is None else _WITH_ROLLOUT
        if run.phase not in phases:
            raise BadMessage(f"{run.namespec!r:.80} cannot be in the phase {run.phase!r:.80}")
        if run.namespec not in run.job.programs:
            raise BadMessage(f"{run.namespec!r:.80} is not one of its job's programs")
        check_asked(run.job.values)
        return run
