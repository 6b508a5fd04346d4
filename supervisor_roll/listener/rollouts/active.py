"""The runs under way: what their rollouts are told, and what these want, say, and end as."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker, cut
from supervisor_roll.listener.arbiters.registry import ArbiterRegistry
from supervisor_roll.listener.edges.supervisord import SupervisordError
from supervisor_roll.listener.outbox import Outbox
from supervisor_roll.listener.rollouts.lives import life_of
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.listener.rollouts.tally import Tally
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.reports import (
    Began,
    Broken,
    Facts,
    Failed,
    Note,
    Outcome,
    Promoted,
    Refused,
    Warned,
    WorkerLife,
)

log = logging.getLogger("supervisor_roll")

# How often what cannot notify us is looked at.
LOOK_SECS = 1.0
# What is said once in a run, of what its workers may tell in ever other words.
MAX_SAID, MAX_SAID_CHARS = 30, 1000
MOST_RELEASES = 3
MOST_GONE = 500  # workers of a run: of those that went first less is wanted
# supervisor's states of a program that is stopped on purpose, or gone.
INTENDED = frozenset({"STOPPING", "STOPPED", "FATAL", "UNKNOWN"})


@dataclass(frozen=True)
class Ended:
    """A run, or its rollout, has ended as ``facts`` tell."""

    run: Run
    facts: Facts


class ActiveRollouts:
    """``runs`` are by namespec. What ends is noted in ``ended``, for ``Jobs`` to go on with.

    ``attempts`` has what began and how it ended, by namespec and kind of report and in order, with
    the digest of the change that is to come into force (empty: there is none, or it has ended), for
    whoever keeps track of what was tried. ``ends`` has all that has ended, for the recycler, and
    ``past`` for the history. ``tallies`` count them, and are to be saved.
    """

    def __init__(
        self, outbox: Outbox, registry: ArbiterRegistry, clock: Callable[[], float]
    ) -> None:
        self.outbox, self.registry, self.clock = outbox, registry, clock
        self.runs: dict[str, Run] = {}
        self.ended: deque[Ended] = deque()
        self.attempts: list[tuple[str, str, str]] = []
        self.ends: list[Ended] = []
        self.past: list[Ended] = []
        self.tallies: dict[str, Tally] = {}
        self._looks: deque[tuple[str, ev.Whose]] = deque()

    # --- what happens to them -------------------------------------------------------------------

    def feed(self, arbiter: Arbiter, event: ev.Event) -> None:
        """Tell the rollout, if there is one, what happened to an arbiter or its worker."""
        run = self.runs.get(arbiter.namespec)
        if run is not None and (run.arbiter == arbiter.id or run.is_successor(arbiter.id)):
            self.handle(run, event)

    def feed_birth(self, arbiter: Arbiter, worker: InstanceId, age: int, surplus: bool) -> None:
        """Tell the rollout of a worker, unless it knows all of this: each message says it."""
        run = self.runs.get(arbiter.namespec)
        known = run.rolling.instances.get(worker) if run and run.rolling else None
        settled = known is not None and known.surplus and not surplus
        if known is None or not known.heard or known.age != age or settled:
            self.feed(arbiter, self.started(arbiter, worker, age, surplus))

    def handle(self, run: Run, event: ev.Event) -> None:
        """Tell the run's rollout, unless it has ended."""
        if run.rolling is not None:
            self.outbox.unsaved.add(run.namespec)
            self.apply(run, run.rolling.handle(event, self.clock()))

    def apply(self, run: Run, actions: list[ev.Action]) -> None:
        """Do what a rollout wants, as far as it is not for the outbox to do."""
        for action in actions:
            if isinstance(action, ev.Look):
                self._looks.append((run.namespec, action.whose))
            elif not isinstance(action, Facts):
                self.outbox.actions.append((run.namespec, action))
            elif isinstance(action, Outcome):
                self.finish(run, action)
            else:
                if isinstance(action, Began):
                    run.release = self.release_of(run.namespec)
                elif isinstance(action, Promoted):
                    run.promoted_at = self.outbox.wall()
                elif isinstance(action, Broken):
                    self._spoilt_by(run, action)
                self.outbox.report(run.job.id, run.namespec, run.completed(action))

    def _spoilt_by(self, run: Run, broken: Broken) -> None:
        for arbiter in self.registry.siblings(run.namespec):
            for one in arbiter.workers.values():
                if one.id.pid == broken.pid:
                    one.failed = one.failed or cut(broken.why.partition("\n")[0])

    def finish(self, run: Run, facts: Facts) -> None:
        """Note that the run, or its rollout, has ended."""
        self.ended.append(Ended(run, facts))

    def adopt(self, run: Run) -> None:
        """Take up the workers that were forked while no listener was there to hear of it."""
        arbiter = self.registry.running(run.arbiter)
        if run.rollout is None or arbiter is None:
            return
        surge = run.rollout.budget.surge > 0
        lasted = self.clock() - run.gathers_since
        for one in self.registry.siblings(arbiter.namespec):
            for child in self.registry.children(one):
                if child not in one.workers and self.registry.table.age_secs(child) < lasted:
                    one.workers[child] = Worker(child, 0, heard=False)
                    self.feed(one, self.started(one, child, 0, surge))

    def measured(self, arbiter: Arbiter, worker: InstanceId, requests: int, errors: int) -> None:
        """Note what a worker has answered since its boot."""
        run = self.runs.get(arbiter.namespec)
        event = run.measured(worker, (requests, errors)) if run else None
        if event is not None:
            self.feed(arbiter, event)

    def process_gone(self, namespec: str, instance: InstanceId) -> None:
        """End a rollout if one of the program's processes has gone because the program is stopped.

        supervisord calls it STOPPING before that. What the rollout has asked to go tells nothing.
        """
        run = self.runs.get(namespec)
        if run is not None and run.rolling is not None:
            known = run.rolling.instances.get(instance)
            if known is not None and known.wanted_gone:
                return
            self.registry.stale()
            info = self.registry.info(namespec)
            if info is not None:
                self.state_changed(run, info.state)

    def state_changed(self, run: Run, state: str) -> None:
        """End a rollout whose program is in such a ``state`` on purpose, or has gone."""
        if state in INTENDED:
            by = "a stop of the program (supervisorctl stop, restart or update)"
            self.handle(run, ev.Aborted(by))
            # What supervisord was asked for and has not done yet is taken back.
            self.handle(run, ev.PrerequisiteFailed("the program is being stopped"))

    def pass_time(self) -> None:
        """Let time pass, and tell those that asked for it which workers there are."""
        now = self.clock()
        for run in list(self.runs.values()):
            rolling = run.rolling
            if rolling and rolling.next_deadline is not None and rolling.next_deadline <= now:
                self.guarded(run, self.handle, run, ev.TimePassed())
        while self._looks:
            namespec, whose = self._looks.popleft()
            if namespec in self.runs:
                run = self.runs[namespec]
                self.guarded(run, self._look, run, whose)

    def guarded(self, run: Run, what: Callable[..., None], *arguments: object) -> None:
        """Do it; whatever goes wrong ends this run, and costs no other its turn.

        Raises SupervisordError.
        """
        try:
            what(*arguments)
        except SupervisordError:
            raise
        except Exception as error:
            log.exception("%s", run.namespec)
            why = f"what it reports could not be used: {error!r:.200}"
            if run.rollout is None:
                self.finish(run, Refused(why))
                return
            try:
                self.handle(run, ev.PrerequisiteFailed(why))
            except Exception:
                log.exception("%s", run.namespec)
                self.finish(run, Failed(why=why))

    def next_deadline(self) -> float | None:
        deadlines = [
            run.rollout.next_deadline if run.rollout else self.clock() + LOOK_SECS
            for run in self.runs.values()
        ]
        return min((one for one in deadlines if one is not None), default=None)

    def _look(self, run: Run, whose: ev.Whose) -> None:
        """Tell a rollout which workers an arbiter has, by the process table."""
        of = run.arbiter
        if whose is ev.Whose.SUCCESSOR:
            of = run.rolling.successor if isinstance(run.rolling, ArbiterRollout) else None
        arbiter = self.registry.running(of)
        if arbiter is not None:
            workers = tuple(self.registry.shown(arbiter))
            self.handle(run, ev.Observed(workers, whose))

    def count(self, ended: Ended) -> None:
        """Count a run that has ended, unless it was a dry run."""
        run = ended.run
        if not run.job.dry_run:
            lives = self.lives(run.namespec, run) if run.rollout else []
            tally = self.tallies.setdefault(run.namespec, Tally())
            recycling = bool(run.job.recycles)
            tally.add(ended.facts, recycling, lives, run.since, self.outbox.wall())

    # --- what is said of them -------------------------------------------------------------------

    def say(self, run: Run, text: str) -> None:
        """Report a note to who follows the run."""
        self.outbox.report(run.job.id, run.namespec, Note(text))

    def say_once(self, run: Run, told: Note | Warned, about: str = "") -> None:
        """Report it once for each text; or once ``about`` something of which the text may vary."""
        key = cut(about or told.text, MAX_SAID_CHARS)
        if key not in run.said and len(run.said) < MAX_SAID:
            run.said.append(key)
            self.outbox.report(run.job.id, run.namespec, told)

    def warn(self, namespec: str, text: str) -> None:
        """Warn who follows the program's run, if there is one, once for each text."""
        run = self.runs.get(namespec)
        if run is not None:
            self.say_once(run, Warned(text))

    # --- how their workers live -----------------------------------------------------------------

    def lives(self, namespec: str, run: Run | None, old: Collection[int] = ()) -> list[WorkerLife]:
        """Return the lives of a program's workers, in ``run`` also of those that have gone.

        Without one, ``old`` are the pids of those that are outdated.
        """
        arbiters = self.registry.siblings(namespec)
        living = self._lives(run, [one for own in arbiters for one in own.workers.values()], old)
        return [*(run.gone if run else ()), *living]

    def left(self, instance: InstanceId) -> None:
        """Keep how a worker, or each worker of an arbiter, has lived, if it is being rolled."""
        for run in self.runs.values():
            for arbiter in self.registry.siblings(run.namespec):
                ended = arbiter.workers.values() if arbiter.id == instance else ()
                known = arbiter.workers.get(instance)
                run.gone += self._lives(run, [known] if known else ended, (), ended=True)
                del run.gone[:-MOST_GONE]

    def _lives(
        self, run: Run | None, workers: Iterable[Worker], old: Collection[int], ended: bool = False
    ) -> list[WorkerLife]:
        wall, now, table = self.outbox.wall(), self.clock(), self.registry.table
        rollout = run.rollout if run else None
        instances = {one.id: one for one in rollout.instances} if rollout else {}
        promoted_at = run.promoted_at if run else 0.0
        return [
            life_of(
                one,
                instances.get(one.id),
                wall - table.age_secs(one.id),
                wall,
                now,
                promoted_at,
                table.how_ended(one.id) if ended else None,
                one.id.pid in old,
            )
            for one in workers
        ]

    # --- what they say of arbiters and workers --------------------------------------------------

    def succession(self, namespec: str) -> tuple[Run, ArbiterRollout] | None:
        """Return the program's run and rollout under way, if that is of strategy ``arbiter``."""
        run = self.runs.get(namespec)
        return (run, run.rolling) if run and isinstance(run.rolling, ArbiterRollout) else None

    def fresh(self, arbiter: Arbiter, worker: InstanceId) -> Instance | None:
        """Return the worker as a fresh one of a rollout under way; None if it is not one."""
        run = self.runs.get(arbiter.namespec)
        instance = run.rolling.instances.get(worker) if run and run.rolling else None
        return instance if instance and instance.fresh and not instance.kept else None

    def release_of(self, namespec: str, pids: Collection[int] | None = None) -> str:
        """Return what these workers of the program run, or all of them, as far as it is known."""
        workers = [one for at in self.registry.siblings(namespec) for one in at.workers.values()]
        chosen = [one for one in workers if pids is None or one.id.pid in pids]
        return ", ".join(sorted({one.release for one in chosen if one.release})[:MOST_RELEASES])

    def recycles(self, arbiter: Arbiter) -> bool:
        """Whether only workers past a limit are replaced, by others that run the same."""
        run = self.runs.get(arbiter.namespec)
        return run is not None and bool(run.job.recycles)

    def tries(self, arbiter: Arbiter) -> bool:
        """Whether the program is being rolled, and no fresh worker has been ready yet."""
        run = self.runs.get(arbiter.namespec)
        return run is not None and run.rolling is not None and not run.rolling.proved

    def leaving(self, arbiter: Arbiter) -> int:
        """How many of its workers a rollout under way has asked to go."""
        run = self.runs.get(arbiter.namespec)
        gone = run.rolling.instances.leaving if run is not None and run.rolling else []
        return len([one for one in gone if one.id in arbiter.workers])

    def succeeds(self, arbiter: Arbiter) -> bool:
        """Whether the arbiter is the successor of a rollout under way, promoted or not."""
        run = self.runs.get(arbiter.namespec)
        return run is not None and run.is_successor(arbiter.id)

    def started(self, arbiter: Arbiter, worker: InstanceId, age: int, surplus: bool) -> ev.Started:
        """Return what a worker of the arbiter is to the rollout under way."""
        run = self.runs.get(arbiter.namespec)
        if run is None or not isinstance(run.rollout, ArbiterRollout):
            return ev.Started(worker, age, surplus)
        return ev.Started(worker, age, surplus, fresh=run.is_successor(arbiter.id))

    def whose(self, arbiter: Arbiter) -> ev.Whose:
        """Return what the arbiter is to the rollout under way."""
        return ev.Whose.SUCCESSOR if self.succeeds(arbiter) else ev.Whose.ARBITER

    def drain_secs(self, arbiter: Arbiter) -> float | None:
        """How long what the arbiter has may take to drain; None where no rollout says it.

        A successor that is discarded has its own ``graceful_timeout``: it may hang.
        """
        run = self.runs.get(arbiter.namespec)
        if run is None or run.rollout is None or arbiter.successor:
            return None
        return run.rollout.settings.drain_timeout_secs

    def watch_secs(self, namespec: str) -> float:
        """How long, from now on, workers are to be watched: a fresh one has become ready."""
        run = self.runs.get(namespec)
        settings = run.rollout.settings if run and run.rollout else None
        return settings.min_ready_secs + LOOK_SECS if settings and settings.min_ready_secs else 0.0
