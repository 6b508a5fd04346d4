"""Jobs and runs: from a request to the last program's end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from supervisor_roll.listener import rollable
from supervisor_roll.listener.configuration import BadConfiguration, Configuration
from supervisor_roll.listener.knowledge import Arbiter, Knowledge
from supervisor_roll.listener.outbox import Outbox
from supervisor_roll.listener.runs import Job, Run
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.machine import ABORTED, FAILED, FINAL, Rollout
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.mailbox import (
    ABORT,
    BEGAN,
    IDLE,
    PAUSE,
    REFUSED,
    RESUME,
    ROLLOUT,
    SKIPPED,
    WARNING,
    Request,
    Status,
)

log = logging.getLogger("supervisor_roll")

# How often what cannot notify us is looked at while a program gathers.
LOOK_SECS = 1.0
_EVENTS: dict[str, Callable[[str], ev.Event]] = {
    ABORT: ev.Aborted, PAUSE: ev.Paused, RESUME: ev.Resumed}


class Rolls:
    """What is being rolled, and what came of what was. ``statuses`` has the last end of each."""

    def __init__(self, outbox: Outbox, knowledge: Knowledge,
                 configuration: Callable[[], Configuration],
                 clock: Callable[[], float]) -> None:
        self.outbox, self.knowledge = outbox, knowledge
        self.configuration, self.clock = configuration, clock
        self.runs: dict[str, Run] = {}
        self.statuses: dict[str, Status] = {}

    def accept(self, request: Request) -> None:
        """Take a request out of the mailbox, and begin with it."""
        self.outbox.taken.append(request.id)
        if request.kind != ROLLOUT:
            for namespec in request.programs:
                self._control(request, namespec)
            self.outbox.done.append(request.id)
        else:
            self._next(Job(request.id, request.programs, request.values, request.by,
                           request.at, request.wildcard))

    def feed(self, arbiter: Arbiter, event: ev.Event) -> None:
        """Something happened to an arbiter or its worker: tell the rollout, if there is one."""
        run = self.runs.get(arbiter.namespec)
        if run is not None and run.rollout is not None and run.arbiter == arbiter.id:
            self._handle(run, run.rollout, event)

    def tick(self) -> None:
        """Let time pass."""
        now = self.clock()
        for run in list(self.runs.values()):
            if run.rollout is None:
                self._gather(run)
            elif run.rollout.next_deadline is not None and run.rollout.next_deadline <= now:
                self._handle(run, run.rollout, ev.TimePassed())

    def next_deadline(self) -> float | None:
        deadlines = [run.rollout.next_deadline if run.rollout else self.clock() + LOOK_SECS
                     for run in self.runs.values()]
        return min((one for one in deadlines if one is not None), default=None)

    def fresh(self, arbiter: Arbiter, worker: InstanceId) -> Instance | None:
        """The worker as a fresh one of a rollout under way; None if it is not one."""
        run = self.runs.get(arbiter.namespec)
        instance = run.rollout.instances.get(worker) if run and run.rollout else None
        return instance if instance and instance.fresh else None

    def failed(self, namespec: str) -> bool:
        """Whether the last rollout of this program failed."""
        status = self.statuses.get(namespec)
        return status is not None and status.state == FAILED

    def warn(self, namespec: str, text: str) -> None:
        """Tell who follows the program's rollout, once for each text."""
        run = self.runs.get(namespec)
        if run is not None and text not in run.warnings:
            run.warnings.append(text)
            self.outbox.report(run.job.id, namespec, WARNING, {"text": text})

    def overview(self) -> dict[str, Status]:
        """What rollstatus shows: runs under way, verdicts on those that were, resisting ones."""
        shown = dict(self.statuses)
        shown.update({name: run.status() for name, run in self.runs.items()})
        for arbiter in self.knowledge.arbiters.values():
            name, workers = arbiter.namespec, arbiter.workers.values()
            pids = [one.id.pid for one in workers]
            status = shown.get(name)
            if status is None and not arbiter.trouble:
                continue
            status = status or Status(IDLE, self.outbox.wall())
            outdated = [pid for pid in status.outdated if pid in pids]
            shown[name] = replace(
                status, resisting=arbiter.trouble, outdated=outdated,
                fresh=[pid for pid in pids if pid not in outdated] if status.job else [],
                ready=arbiter.ready, desired=arbiter.count,
                releases={str(one.id.pid): one.release for one in workers if one.release})
        return shown

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
            self.outbox.report(request.id, namespec, REFUSED, {"why": "it is not being rolled"})
        elif run.rollout is not None:
            self._handle(run, run.rollout, _EVENTS[request.kind](request.by))
        elif request.kind == ABORT:
            self._over(run, ABORTED, {
                "why": f"aborted by {request.by} before anything was touched"})
        else:
            self.outbox.report(request.id, namespec, REFUSED, {
                "why": f"it has not begun: there is nothing to {request.kind}"})

    def _next(self, job: Job) -> None:
        """Begin with the job's next program."""
        if job.over:
            self.outbox.done.append(job.id)
            return
        namespec = job.namespec
        run = Run(job, namespec, self.outbox.wall(), self.clock())
        other = self.runs.get(namespec)
        if job.unserved:
            self._over(run, SKIPPED, {"why": job.unserved})
        elif other is not None:
            self._over(run, REFUSED, {
                "why": f"it is being rolled already, for {self.outbox.wall() - other.since:.0f} s,"
                       f" by {other.job.by}; to follow that: rollstatus --follow {namespec}; "
                       f"to end it: rollabort {namespec}"})
        else:
            self.runs[namespec] = run
            self._gather(run)

    def _over(self, run: Run, kind: str, facts: dict[str, Any]) -> None:
        """The run has ended as ``kind`` says; the job goes on with what is left of it."""
        if self.runs.get(run.namespec) is run:
            del self.runs[run.namespec]
        if kind in FINAL:
            self.statuses[run.namespec] = replace(
                run.status(), state=kind, why=facts["why"], ended=self.outbox.wall())
            if kind in (FAILED, ABORTED):
                run.job.unserved = f"not rolled, since {run.namespec} {kind} before it"
        self.outbox.report(run.job.id, run.namespec, kind, facts)
        run.job.index += 1
        self._next(run.job)

    # --- runs -----------------------------------------------------------------------------------

    def _gather(self, run: Run) -> None:
        """Begin to roll once all that runs now is known; refuse what cannot be rolled."""
        try:
            settings = self.configuration().settings_for(run.namespec).replaced(run.job.values)
        except (BadSetting, BadConfiguration) as error:
            self._over(run, REFUSED, {"why": str(error)})
            return
        waits = self.clock() < run.gathers_since + settings.ready_timeout_secs
        info = self.knowledge.info(run.namespec)
        identity = self.knowledge.table.identity(info.pid) if info else None
        if info is None or info.state != "RUNNING" or identity is None:
            if not (waits and info is not None and info.state in ("STARTING", "RUNNING")):
                state = info.state if info else "unknown to supervisord"
                self._over(run, REFUSED, {
                    "why": f"it is {state}; start it first: supervisorctl start {run.namespec}"})
            return
        arbiter = self.knowledge.arbiters.get(identity)
        if arbiter is None:
            young = self.outbox.wall() - identity.started < settings.ready_timeout_secs
            gunicorn, why = rollable.silence(self.knowledge.table, identity)
            if not (gunicorn and young and waits):
                kind = SKIPPED if run.job.wildcard and not gunicorn else REFUSED
                self._over(run, kind, {"why": why})
            return
        why = rollable.objection(arbiter, settings)
        heard = len(arbiter.workers)
        few = heard < max(arbiter.count, 1)
        # One that still boots, or that we have not heard yet, is not to be counted as lost.
        if not why and waits and (few or arbiter.undecided):
            return
        if not why and few:
            why = (f"only {heard} of its {arbiter.count} workers have been heard within "
                   f"{settings.ready_timeout_secs:g} s: its arbiter (pid {identity.pid}) does not "
                   "have as many as it wants, or they have been idle since this listener started")
        if why:
            self._over(run, REFUSED, {"why": why})
            return
        now = self.clock()
        run.arbiter = arbiter.id
        run.rollout = Rollout(settings, arbiter.outdated(now), arbiter.count, now)
        self._take(run, run.rollout.begin())

    def _handle(self, run: Run, rollout: Rollout, event: ev.Event) -> None:
        self.outbox.unsaved = True
        self._take(run, rollout.handle(event, self.clock()))

    def _take(self, run: Run, actions: list[ev.Action]) -> None:
        for action in actions:
            if not isinstance(action, ev.Tell):
                self.outbox.actions.append((run.namespec, action))
            elif action.kind in FINAL:
                self._over(run, action.kind, action.facts)
            else:
                facts = action.facts
                if action.kind == BEGAN and run.arbiter is not None:
                    facts = {**facts, "arbiter": run.arbiter.pid, "strategy": "workers"}
                self.outbox.report(run.job.id, run.namespec, action.kind, facts)
