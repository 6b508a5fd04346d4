"""Rollouts for the configuration's sake: those that nobody asks for, and ``rollupdate``.

What is to be done is for ``Reconciler`` to say; here it is done.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.supervisord import Refused, Supervisord, SupervisordError
from supervisor_roll.listener.reconcile.operations import (
    ADD,
    ADOPT,
    REMOVE,
    RESIZE,
    ROLL,
    Operation,
)
from supervisor_roll.listener.reconcile.reconciler import Reconciler, Watched
from supervisor_roll.listener.reconcile.requested import UNKNOWN
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.jobs import Jobs
from supervisor_roll.listener.rollouts.run import Job
from supervisor_roll.rollout import reports
from supervisor_roll.wire.mailbox import Request

log = logging.getLogger("supervisor_roll")

REMOVE_SECS = 1.0
_SAYS = {
    ADOPT: "what has changed is now in effect",
    RESIZE: "it now has as many processes as configured",
    ADD: "added, and started as it is configured",
    REMOVE: "it is no longer configured: it stops, and is then removed",
}


class OperationExecutor:
    """Carries out what ``Reconciler`` decides."""

    def __init__(
        self,
        jobs: Jobs,
        active: ActiveRollouts,
        supervisord: Supervisord,
        configuration: Callable[[], Configuration],
    ) -> None:
        self._jobs, self._active, self._supervisord = jobs, active, supervisord
        self._outbox, self._clock = active.outbox, active.clock
        self.reconciler = Reconciler(configuration, supervisord.reread, self._state, jobs.is_busy)
        self._operations: list[Operation] = []  # handed out, and not yet begun with
        self._removing: dict[str, float] = {}  # group -> when to look again

    def tick(self) -> None:
        """Begin with what is due by itself. Raises SupervisordError."""
        self.note()
        now = self._clock()
        if not self._operations:
            self._operations = self.reconciler.tick(now)
        for problem in self.reconciler.problems:
            log.error("%s", problem)
        self.reconciler.problems.clear()
        while self._operations:
            operation = self._operations[0]
            log.info("%s: %s", ", ".join(operation.names), operation.reason)
            job = f"auto-{uuid.uuid4().hex[:12]}"
            if operation.kind == ROLL:
                self._roll(job, operation.names, f"the listener, since {operation.reason}")
            else:
                self._apply(job, operation)
                self._outbox.done.append(job)
            del self._operations[0]
        for group, when in list(self._removing.items()):
            if now >= when:
                self._remove(group)
        self.note()

    def note(self) -> None:
        """Note what has begun and ended meanwhile, and have it saved what was tried."""
        attempts, self._active.attempts = self._active.attempts, []
        for namespec, kind, digest in attempts:
            if kind == reports.Began.kind:
                self.reconciler.began(namespec, digest)
            else:
                self.reconciler.ended(namespec, kind == reports.Complete.kind)
        if self.reconciler.unsaved:
            self.reconciler.unsaved = False
            self._outbox.unsaved.add("")

    def update(self, request: Request) -> None:
        """Do all that the configuration has changed: ``rollupdate``. Raises SupervisordError."""
        try:
            operations, left = self.reconciler.update(request.programs)
        except (BadConfiguration, Refused) as error:
            why = error.text if isinstance(error, Refused) else str(error)
            self._outbox.report(
                request.id, "", reports.Refused(f"the configuration is invalid: {why}")
            )
            self._outbox.done.append(request.id)
            return
        names: list[str] = []
        for operation in operations:
            if operation.kind == ROLL:
                names += operation.names
            else:
                self._apply(request.id, operation)
        for text in left:
            told = reports.Refused(text) if text.endswith(UNKNOWN) else reports.Note(text)
            self._outbox.report(request.id, "", told)
        self._roll(request.id, names, request.by, request.parallel)

    def watched_at_rest(self) -> Watched | None:
        """Return what is watched, if nothing is to be done until something changes there."""
        if self._operations or self._removing or self._active.attempts:
            return None
        return self.reconciler.watched_at_rest(self._clock())

    def next_deadline(self) -> float | None:
        deadlines = [self.reconciler.next_deadline(self._clock()), *self._removing.values()]
        return min((one for one in deadlines if one is not None), default=None)

    def _roll(self, job: str, names: list[str], by: str, parallel: int | None = None) -> None:
        self._jobs.begin(Job(job, names, {}, by, self._outbox.wall()), parallel)

    def _apply(self, job: str, operation: Operation) -> None:
        """Do what takes no rollout. A refusal is told, and is no reason to try again."""
        for name in operation.names:
            told: reports.Note | reports.Warned
            told = reports.Note(f"{_SAYS[operation.kind]} ({operation.reason})")
            try:
                if operation.kind == ADOPT:
                    self._supervisord.adopt(name)
                elif operation.kind == RESIZE:
                    self._supervisord.resize(name)
                elif operation.kind == ADD:
                    self._supervisord.add(name)
                else:
                    self._supervisord.stop_group(name)
                    self._removing[name] = self._clock()
            except Refused as fault:
                told = reports.Warned(f"{operation.reason}, which cannot be applied: {fault.text}")
            log.info("%s: %s", name, told.text)
            self._outbox.report(job, name, told)
            if operation.kind == ADOPT:
                self.reconciler.ended(name, isinstance(told, reports.Note))

    def _remove(self, group: str) -> None:
        try:
            self._supervisord.remove(group)
            del self._removing[group]
        except Refused as fault:
            if fault.code == Faults.STILL_RUNNING:
                self._removing[group] = self._clock() + REMOVE_SECS
            else:
                del self._removing[group]
        except SupervisordError:
            self._removing[group] = self._clock() + REMOVE_SECS
            raise

    def _state(self, namespec: str) -> str:
        info = self._active.registry.info(namespec)
        return info.state if info is not None else ""
