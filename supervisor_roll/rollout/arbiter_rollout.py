"""Strategy ``arbiter``: a new arbiter with all its workers beside the one that serves.

What may move is for ``arbiter_plan`` to say. Each action that goes to supervisord (start, promote,
discard) may be asked for again, and is by a listener that was started in between
(``unanswered_requests``). A signal is repeated where neither the arbiter's word nor its
workers show that it was heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from supervisor_roll.rollout import arbiter_plan, moves
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.arbiter_plan import Standing
from supervisor_roll.rollout.events import Action, Event, InstanceId, Whose
from supervisor_roll.rollout.instances import RETIRE, STOP, Instance
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.moves import DISCARD, PROMOTE, START, Move
from supervisor_roll.rollout.phases import Cause
from supervisor_roll.rollout.reports import Arrived, Note, Promoted, Succeeded
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.signals import Signal
from supervisor_roll.rollout.timing import CONFIRM_SECS, HALT_SECS, REPEATS
from supervisor_roll.rollout.words import ARBITER, COMPLETE, PAUSED

_REQUESTS: dict[str, Action] = {
    START: ev.StartSuccessor(),
    PROMOTE: ev.Promote(),
    DISCARD: ev.Discard(),
}


@dataclass(frozen=True)
class Crash:
    """A worker of the successor that exited before it was available, which may end its arbiter."""

    at: float
    pid: int
    why: str


@dataclass(kw_only=True)
class ArbiterRollout(Rollout):
    """One replacement of an arbiter with all its workers; ``arbiter_plan.Standing`` says more."""

    strategy: ClassVar[str] = ARBITER

    goal: int  # how many workers the successor is to have when it is promoted
    first: int = 0  # with how many it begins
    successor: InstanceId | None = None
    successor_count: int = 0
    promoted: bool = False
    old_gone: bool = False
    requested: str = ""
    unmet_since: float | None = None  # the successor has fewer workers than it wants
    crash: Crash | None = None
    shrunk: bool = False
    kept_since: float | None = None
    forced: bool = False
    unrecoverable_why: str = ""

    @classmethod
    def of(
        cls,
        settings: Settings,
        outdated: Iterable[Instance],
        count: int,
        now: float,
        budget: Budget | None = None,
        **more: Any,
    ) -> ArbiterRollout:
        """Make one beside an arbiter that wants ``count``."""
        return super().of(settings, outdated, count, now, budget, goal=count, **more)

    @property
    def to_come(self) -> int:
        if self.wanted != COMPLETE:
            return 0
        room = arbiter_plan.most(self.desired, self.goal, self.budget) - len(self.instances.up)
        return max(0, min(room, self.goal - len(self.instances.fresh)))

    def unanswered_requests(self) -> list[Action]:
        """Repeat what supervisord was asked for and has not been seen: it may not have heard it."""
        return [_REQUESTS[self.requested]] if self.requested else []

    # --- what an event changes ---------------------------------------------------------------

    def _observe(self, event: Event) -> list[Action]:
        match event:
            case ev.SuccessorStarted() if self.requested == START:
                return self._successor_started(event)
            case ev.Configured() if not self.promoted and max(1, event.count) != self.goal:
                return self._configured(max(1, event.count))
            case ev.Promoted() if self._go(Cause.PROMOTION):
                return self._promoted()
        return super()._observe(event)

    def _successor_started(self, event: ev.SuccessorStarted) -> list[Action]:
        self.successor, self.successor_count = event.arbiter, self.first
        self.requested, self.unmet_since = "", self.now
        return [Succeeded(new=event.arbiter.pid)]

    def _configured(self, goal: int) -> list[Action]:
        self.goal = goal
        self.first = self._beginning()
        if self.successor is not None:
            self.successor_count = self.first
        text = f"the successor is configured with another number of workers: {goal}"
        return [Note(text)]

    def _promoted(self) -> list[Action]:
        self.promoted, self.requested, self.desired = True, "", self.goal
        for one in self.instances.outdated:
            self._mark(one, RETIRE)
        self.count, self.replaced = self.successor_count, self.total
        return [Promoted(new=self.successor.pid if self.successor else 0)]

    def _counted(self, event: ev.Counted) -> list[Action]:
        self._heard(self._count_of(event.whose), event.count, event.whose)
        if event.whose is Whose.SUCCESSOR:
            self.successor_count = event.count
        elif not self.promoted:
            self.count = event.count
        return []

    def _count_of(self, whose: Whose) -> int:
        return self.successor_count if whose is Whose.SUCCESSOR else self.count

    def _observed(self, event: ev.Observed) -> list[Action]:
        signal, fresh = self.signal, event.whose is Whose.SUCCESSOR
        surplus = int(fresh and signal is not None and signal.adds)
        running = self.instances.observed(event.workers, fresh, surplus, self.now)
        if signal is None or signal.whose is not event.whose:
            return []
        count = signal.shown_by(event.workers, running, self._count_of(event.whose))
        if count is not None:
            return self._counted(ev.Counted(count, event.whose))
        return self._unconfirmed(signal) if signal.is_overdue(self.now) else []

    def _unconfirmed(self, signal: Signal) -> list[Action]:
        """Repeat a signal that has had no effect that is to be seen, some times."""
        one = self.instances.get(signal.instance)
        self.signal = None
        leaves = one is not None and one.wanted_gone and self._lingers(one)
        if self.repeats < REPEATS or leaves:
            self.repeats += 1
            if not signal.adds and one is None:
                return []  # it was replaced, so the signal was not heard: there will be another
            again = self._send(signal.adds, signal.whose, signal.instance)
            # To ask the very one that was to go is the same whether the signal was heard or not.
            return [again if one is None else ev.StopInstance(one.id)]
        if one is not None:
            one.wanted_gone = ""  # should it go all the same, that will be seen
        self.repeats = 0
        whose = "the successor" if signal.whose is Whose.SUCCESSOR else "the old one"
        text = f"an arbiter did not react to {signal.name} ({whose}) within {CONFIRM_SECS:g} s"
        if self.wanted == COMPLETE:
            return self._turn(Cause.FAILURE, text)
        self.unrecoverable_why = self.unrecoverable_why or text
        return []

    def _arbiter_exited(self, event: ev.ArbiterExited) -> list[Action]:
        fresh = event.whose is Whose.SUCCESSOR
        self.instances.members = [one for one in self.instances if one.fresh is not fresh]
        if not fresh:
            self.old_gone = True
            return self._turn(Cause.FAILURE, event.why)
        self.successor, self.requested, self.signal = None, "", None
        if self.promoted:
            return self._end(Cause.LOSS, event.why)
        # Of one that was discarded nobody wants to hear how it ended.
        return self._turn(Cause.FAILURE, event.why)

    def _prerequisite_failed(self, event: ev.PrerequisiteFailed) -> list[Action]:
        if self.requested in (START, PROMOTE):
            self.requested = ""
        return super()._prerequisite_failed(event)

    def _aborted(self, event: ev.Aborted) -> list[Action]:
        if self.promoted:
            text = "too late to abort: the successor serves, and the old arbiter drains"
            return [Note(text)]
        self.forced = self.kept_since is not None
        return super()._aborted(event)

    def _became_ready(self, event: ev.BecameReady) -> None:
        super()._became_ready(event)
        # From now on its arbiter would replace it.
        self.instances.known(event.instance, self.now).surplus = False

    def _boot_failed(self, event: ev.BootFailed) -> list[Action]:
        if not self.instances.known(event.instance, self.now).fresh:
            first = event.why.partition("\n")[0]
            self.unrecoverable_why = f"a worker of the old arbiter failed to boot: {first}"
        return super()._boot_failed(event)

    def _fork_failed(self, event: ev.ForkFailed) -> list[Action]:
        if event.whose is Whose.ARBITER:
            self.unrecoverable_why = event.why
        return super()._fork_failed(event)

    def _fresh_exited(self, instance: Instance, how: str) -> list[Action]:
        # A first worker that cannot boot takes its arbiter with it: that one's end says more.
        pid = instance.id.pid
        self.crash = self.crash or Crash(self.now, pid, f"worker {pid} of the successor {how}")
        return []

    def _outdated_exited(self, instance: Instance, why: str) -> list[Action]:
        if not instance.ready and self.wanted != COMPLETE:
            self.unrecoverable_why = (
                self.unrecoverable_why or "a worker of the old arbiter exited while it booted"
            )
        return []  # its arbiter replaces it, and both are replaced

    # --- what to do about it -----------------------------------------------------------------

    def _plan(self) -> list[Action]:
        self.next_deadline = None
        actions = self._mark_available()
        if self.requested == DISCARD:
            self._leave_behind()
        if not self.promoted:  # from then on supervisord sees to it, within stopwaitsecs
            actions += self._escalate_stops()
        if self.signal is not None:
            actions += self._look(self.signal.sent_at, self.signal.whose)
        if self.promoted:
            return actions + (self._end() if self.old_gone else [])
        if self.wanted == COMPLETE:
            actions += self._check_deadlines()
        return actions + self._move()

    def _arrived(self, one: Instance) -> list[Action]:
        done = min(self.became_available, self.goal)
        return [Arrived(one.id.pid, one.boot_secs, one.health, done, self.goal)]

    def _check_deadlines(self) -> list[Action]:
        limit = self.settings.ready_timeout_secs
        if self.crash is not None and self._due(self.crash.at + HALT_SECS):
            return self._turn(Cause.FAILURE, self.crash.why, self.crash.pid)
        fresh = self.instances.fresh
        late = self._check_readiness(fresh)
        if late:
            return late
        if self.successor is None or len(fresh) >= self.successor_count:
            self.unmet_since = None
            return []
        if self.unmet_since is None:
            self.unmet_since = self.now
        if not self._due(self.unmet_since + limit):
            return []
        has = f"{len(fresh)} of {self.successor_count}"
        return self._turn(Cause.FAILURE, f"the successor had {has} workers after {limit:g} s")

    def _move(self) -> list[Action]:
        """Do what the plan says: one thing at a time, but for what is to be stopped."""
        actions: list[Action] = []
        while True:
            at = self._standing()
            move = arbiter_plan.next_move(at)
            if not at.signalled and not arbiter_plan.is_needed(at):
                self.kept_since = None
            if move.until is not None:
                self._due(move.until)
            if move.kind == moves.WAIT or (actions and move.kind != moves.STOP):
                return actions
            if move.kind == moves.END:
                return actions + self._end(why=move.why)
            actions += self._do(move)

    def _standing(self) -> Standing:
        return Standing(
            instances=self.instances,
            count=self.count,
            desired=self.desired,
            budget=self.budget,
            floor=self.floor,
            ready_timeout_secs=self.settings.ready_timeout_secs,
            goal=self.goal,
            first=self.first,
            successor_count=self.successor_count,
            started=self.successor is not None,
            proved=self.proved or not self.budget.surge,
            canaries_passed=self.canaries_passed,
            most_boots=self.most_boots,
            crashed=self.crash is not None,
            paused=self.phase == PAUSED,
            wanted=self.wanted,
            signalled=self.signal is not None,
            requested=self.requested,
            shrunk=self.shrunk,
            old_gone=self.old_gone,
            forced=self.forced,
            unrecoverable_why=self.unrecoverable_why,
            now=self.now,
            turned_at=self.turned_at,
            kept_since=self.kept_since,
        )

    def _do(self, move: Move) -> list[Action]:
        one = move.instance
        match move.kind:
            case moves.START | moves.PROMOTE | moves.DISCARD:
                return self._request(move.kind)
            case moves.KEEP:
                self.kept_since = self.now
                return [self._kept(move.why)]
            case moves.RETRY:
                self.kept_since = self.turned_at = self.now
                self.unrecoverable_why, self.repeats = "", 0
                return []
        if one is None:
            return [self._send(True, move.whose)]
        self._mark(one, STOP if one.fresh else RETIRE)
        if move.kind == moves.STOP:
            return [ev.StopInstance(one.id)]
        self.shrunk = self.shrunk or move.whose is Whose.ARBITER
        return [self._send(False, move.whose, one.id)]

    def _request(self, what: str) -> list[Action]:
        self.requested = what
        if what == START:
            self.first = self._beginning()
        elif what == DISCARD:
            self._leave_behind()
        return self.unanswered_requests()

    def _beginning(self) -> int:
        """With how many workers the successor can begin."""
        room = arbiter_plan.most(self.desired, self.goal, self.budget) - self.count
        if self.budget.surge and room < self.goal:
            return 1  # a bad release is to cost no more
        return max(1, min(self.goal, self.canaries or self.goal, room))

    def _leave_behind(self) -> None:
        """Wait for none of a discarded successor's workers that hangs in its boot.

        It would hold up its arbiter's end for graceful_timeout. It may be heard of only now.
        """
        for one in self.instances.fresh:
            if not one.ready:
                self._mark(one, STOP)

    def _kept(self, why: str) -> Note:
        serving = len([one for one in self.instances.fresh if one.ready])
        text = (
            f"the old arbiter does not get its workers back: {why}; {serving} of "
            "the successor's serve on beside it until it does: repair the release, or abort "
            "once more to stop the successor all the same"
        )
        return Note(text)
