"""Strategy ``arbiter``, as far as it is supervisord's: successors, and how they end.

The successor is supervisord's child as any program; here it is asked for, watched, promoted or
discarded.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.edges.supervisord import Refused, Supervisord
from supervisor_roll.listener.rollouts.active import ActiveRollouts, Ended
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.reports import Failed, Outcome
from supervisor_roll.wire.successor import Succession

log = logging.getLogger("supervisor_roll")

# supervisord takes note of a child's end when its loop wakes, within a second.
REAPED_SECS, LOOK_SECS = 5.0, 0.1
# What is written to a successor's log may well be longer than an operator wants to read.
TAIL_LINES = 20


@dataclass
class _Exited:
    """A successor that has exited, and of which supervisord is yet to say how."""

    namespec: str
    pid: int
    until: float


class SuccessorControl:
    """What belongs to the rollouts of strategy ``arbiter``."""

    def __init__(self, active: ActiveRollouts, supervisord: Supervisord) -> None:
        self._active, self._supervisord = active, supervisord
        self._registry, self._clock = active.registry, active.clock
        self._exited: list[_Exited] = []
        self._tails: dict[str, str] = {}  # namespec -> the end of its last successor's output

    def act(self, namespec: str, action: ev.Action) -> None:
        """Have supervisord do it, and tell the rollout. Raises SupervisordError: try again."""
        found = self._active.succession(namespec)
        if found is None or action not in found[1].unanswered_requests():
            return  # it has turned, while supervisord did not answer
        try:
            if isinstance(action, ev.StartSuccessor):
                self._started(namespec, self._supervisord.succeed(namespec))
            elif isinstance(action, ev.Promote):
                drain_secs = found[1].settings.drain_timeout_secs
                self._promoted(namespec, self._supervisord.promote(namespec, drain_secs))
            else:
                left = self._supervisord.discard(namespec)
                if not left.successor:
                    self._gone(namespec, left)
        except Refused as fault:
            log.error("%s: %s", namespec, fault)
            why = fault.text.removeprefix(f"{namespec}: ")
            if fault.code in (Faults.UNKNOWN_METHOD, Faults.INCORRECT_PARAMETERS):
                why = "it runs an earlier version of supervisor_roll: restart supervisord once"
            self._feed(namespec, ev.PrerequisiteFailed(f"supervisord: {why}"))

    def _started(self, namespec: str, found: Succession) -> None:
        self._registry.stale()
        self._registry.processes()  # it is one of them now, or this is tried again
        arbiter = self._registry.table.identity(found.successor)
        if arbiter is not None and self._registry.arbiter(arbiter) is not None:
            self._feed(namespec, ev.SuccessorStarted(arbiter))
        else:
            self._await_end(namespec, found.successor)

    def _promoted(self, namespec: str, found: Succession) -> None:
        for one in self._registry.siblings(namespec):
            if one.id.pid == found.pid:
                one.successor = False
        self._registry.stale()
        self._feed(namespec, ev.Promoted())
        if not found.retiring:
            self._feed(namespec, ev.ArbiterExited("it had exited before"))

    def exited(self, arbiter: Arbiter) -> None:
        """Have supervisord say how a successor has exited."""
        self._await_end(arbiter.namespec, arbiter.id.pid)

    def tick(self) -> None:
        """Ask how successors have ended. Raises SupervisordError."""
        for one in list(self._exited):
            found = self._succession(one.namespec)
            if found.successor != one.pid or self._clock() >= one.until:
                self._exited.remove(one)
                self._gone(one.namespec, found)

    def next_deadline(self) -> float | None:
        return self._clock() + LOOK_SECS if self._exited else None

    def restored(self, run: Run) -> None:
        """Take up a run in the middle of which an earlier listener was killed."""
        rollout = run.rolling
        if not isinstance(rollout, ArbiterRollout):
            return
        for action in rollout.unanswered_requests():
            self._active.outbox.actions.append((run.namespec, action))
        successor = rollout.successor
        if successor is not None and self._registry.running(successor) is None:
            self._await_end(run.namespec, successor.pid)

    def closing(self, ended: Ended) -> Ended:
        """Add to a rollout's end what serves now, and what the successor had to say."""
        run, facts = ended.run, ended.facts
        tail = self._tails.pop(run.namespec, "")
        if not isinstance(run.rollout, ArbiterRollout) or not isinstance(facts, Outcome):
            return ended
        why = facts.why
        # A traceback says more, and is its end as a rule.
        if isinstance(facts, Failed) and tail and "\n" not in why:
            why = f"{why}\nthe end of the successor's output:\n{tail}"
        old = run.arbiter if run.rollout.promoted else None
        siblings = self._registry.siblings(run.namespec)
        serving = next((one for one in siblings if not one.successor and one.id != old), None)
        workers = list(serving.workers.values()) if serving else []
        facts = replace(
            facts,
            why=why,
            arbiter=serving.id.pid if serving else 0,
            workers=sum(not one.unhealthy or one.serves_unhealthy for one in workers),
            unhealthy=sum(one.serves_unhealthy for one in workers),
            same=serving is not None and serving.id == run.arbiter,
        )
        return Ended(run, facts)

    def _succession(self, namespec: str) -> Succession:
        try:
            return self._supervisord.succession(namespec)
        except Refused:
            return Succession()  # the program is not there any more

    def _await_end(self, namespec: str, pid: int) -> None:
        self._exited.append(_Exited(namespec, pid, self._clock() + REAPED_SECS))

    def _gone(self, namespec: str, found: Succession) -> None:
        tail = "\n".join(found.tail.rstrip().splitlines()[-TAIL_LINES:])
        self._tails[namespec] = tail
        why = f"the successor {found.ended or 'has exited'}"
        # Of Gunicorn's own addresses Gunicorn says: Connection in use.
        if "Address already in use" in tail and "Connection in use" not in tail:
            why += (
                ". Its sockets were taken over; something else is listened on while it starts, by "
                "on_starting, when_ready or with preload_app the application, in which two "
                "arbiters run for a while, and the old one has that address"
            )
        if tail:
            why += f"; the end of its output:\n{tail}"
        self._feed(namespec, ev.ArbiterExited(why, ev.Whose.SUCCESSOR))

    def _feed(self, namespec: str, event: ev.Event) -> None:
        found = self._active.succession(namespec)
        if found is not None:
            self._active.handle(found[0], event)
