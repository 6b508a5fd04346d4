"""Strategy ``workers``: new code under the same arbiter.

At each step ``worker_plan`` says what may move. With a surge that is by signals to the arbiter
(``AddInstance``, ``RemoveOldest``). Without one (``max_surge=0``) an outdated instance is stopped
(``StopInstance``), and its arbiter replaces it: as fresh as one that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, get_args

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import moves, worker_plan
from supervisor_roll.rollout.events import Action
from supervisor_roll.rollout.instances import RETIRE, STOP, Instance
from supervisor_roll.rollout.machine import Rollout
from supervisor_roll.rollout.moves import Move
from supervisor_roll.rollout.phases import Cause
from supervisor_roll.rollout.reports import Left, Replaced
from supervisor_roll.rollout.signals import Signal
from supervisor_roll.rollout.timing import CONFIRM_SECS, REPEATS, STEADY_SECS, STOP_GRACE_SECS
from supervisor_roll.rollout.words import COMPLETE, PAUSED, WORKERS
from supervisor_roll.rollout.worker_plan import Standing


@dataclass(kw_only=True)
class WorkerRollout(Rollout):
    """One replacement of an arbiter's workers."""

    strategy: ClassVar[str] = WORKERS
    takes: ClassVar[tuple[type, ...]] = get_args(ev.WorkerEvent | ev.ArbiterEvent | ev.ControlEvent)

    short_since: float | None = None  # fewer run than the arbiter wants
    differs_since: float | None = None  # more or fewer run than are wanted, whoever is asked
    settling_since: float | None = None
    given_back: int = 0  # unheard ones that were asked to go, and the count has not followed
    # Those that were retired and became available, and were not yet reported, in pairs.
    unpaired_old: list[int] = field(default_factory=list)
    unpaired_new: list[tuple[int, float, str]] = field(default_factory=list)

    def _counted(self, event: ev.Counted) -> list[Action]:
        self._heard(self.count, event.count)
        self._found(event.count)
        return []

    def _found(self, count: int) -> None:
        """So many are wanted now."""
        self.given_back = max(0, self.given_back - max(0, self.count - count))
        self.count = count

    def _observed(self, event: ev.Observed) -> list[Action]:
        signal = self.signal
        added = self.count - self.desired + (signal is not None and signal.adds)
        known = sum(one.surplus for one in self.instances.fresh)
        # One that was taken for surplus, and was replaced when it left, was none.
        surplus = added - known - self.given_back
        running = self.instances.observed(event.workers, True, surplus, self.now)
        most = self.desired + max(self.budget.surge, 1)
        unheard = [str(one.id.pid) for one in self.instances.fresh if not one.heard]
        if running > most and unheard and self.wanted == COMPLETE:
            self._found(running)
            self.signal = None
            return self._turn(
                Cause.FAILURE,
                f"{running} workers run where {most} may: of {', '.join(unheard)} nothing was "
                "heard; do they reach the readiness socket?",
            )
        if signal is not None:
            count = signal.shown_by(event.workers, running, self.count)
            if count is not None:
                return self._counted(ev.Counted(count))
            return self._unconfirmed(signal) if signal.is_overdue(self.now) else []
        since = self.differs_since
        if since is not None and self.now >= since + self._patience(running):
            self._found(running)
            self.differs_since = None
        return []

    def _unconfirmed(self, signal: Signal) -> list[Action]:
        """Repeat a signal that has had no effect that is to be seen.

        A second RemoveOldest would retire one too many if the first was heard after all. To
        ask the very instance that was to go is the same whether it was heard or not.
        """
        one = self.instances.get(signal.instance)
        if one is not None and self._lingers(one):
            if self.repeats:
                return []  # it drains
            self.repeats = 1
            return [ev.StopInstance(one.id)]
        self.signal = None
        self.repeats += one is None
        if self.repeats <= REPEATS:
            return []  # the plan will send another
        times = f"{REPEATS + 1} times sent"
        return self._turn(Cause.FAILURE, f"the arbiter did not react to {signal.name}, {times}")

    def _patience(self, running: int) -> float:
        """How long the process table is to differ from what was reported until it is believed."""
        if running > self.count:  # one of them may drain, on somebody else's word
            return self.settings.drain_timeout_secs + 2 * STOP_GRACE_SECS
        at_end = self.wanted != COMPLETE and self.count > self.desired
        return STEADY_SECS if at_end else CONFIRM_SECS

    def _outdated_exited(self, instance: Instance, why: str) -> list[Action]:
        self.unpaired_old.append(instance.id.pid)
        return [Left(instance.id.pid, why)]

    def _arrived(self, one: Instance) -> list[Action]:
        self.unpaired_new.append((one.id.pid, one.boot_secs, one.health))
        return []

    def _plan(self) -> list[Action]:
        self.next_deadline = None
        actions = self._mark_available()
        actions += self._pair_for_display()
        actions += self._escalate_stops()
        if self.signal is not None:
            actions += self._look(self.signal.sent_at)
        actions += self._compare()
        if self.wanted == COMPLETE:
            actions += self._check_deadlines()
        return actions + self._move()

    def _pair_for_display(self) -> list[Action]:
        """Report retired and available ones in pairs: for the operator's eye, no decision."""
        actions: list[Action] = []
        while self.unpaired_old and self.unpaired_new:
            old, (new, boot_secs, health) = self.unpaired_old.pop(0), self.unpaired_new.pop(0)
            self.replaced += 1
            actions.append(Replaced(old, new, boot_secs, health, self.replaced, self.total))
        return actions

    def _compare(self) -> list[Action]:
        """Look at what the process table shows where more or fewer run than are wanted."""
        up, leaving = len(self.instances.up), len(self.instances.leaving)
        if self.signal is not None or up <= self.count <= up + leaving:
            self.differs_since = None
            return []
        if self.differs_since is None:
            self.differs_since = self.now
        return self._look(self.differs_since)

    def _check_deadlines(self) -> list[Action]:
        """Whether time has shown the release, or the arbiter, to be bad."""
        limit = self.settings.ready_timeout_secs
        late = self._check_readiness(self.instances.up)
        if late:
            return late
        for one in self.instances.leaving:
            if not self._lingers(one):
                return self._instance_failed(one, "is still there after it was killed")
        # One that was never heard may be the last of many that have crashed.
        heard = [one for one in self.instances if one.wanted_gone or one.heard]
        if len(heard) >= self.count:
            self.short_since = None
            return []
        if self.short_since is None:
            self.short_since = self.now
        if self._due(self.short_since + limit):
            return self._turn(Cause.FAILURE, f"the arbiter started no worker within {limit:g} s")
        return []

    def _move(self) -> list[Action]:
        """Do what the plan says, until there is nothing to do but wait."""
        actions: list[Action] = []
        while True:
            move = worker_plan.next_move(self._standing())
            if move.until is not None:
                self._due(move.until)
            if move.kind != moves.SETTLE:
                self.settling_since = None
            elif self.settling_since is None:
                self.settling_since = self.now
            if move.kind in (moves.WAIT, moves.SETTLE):
                return actions
            if move.kind == moves.END:
                return actions + self._end(why=move.why)
            actions.append(self._do(move))

    def _standing(self) -> Standing:
        trial = self.desired if self.canaries_passed else self.canaries
        if self.budget.surge and not self.proved:
            trial = 1  # a bad release is to cost no more
        return Standing(
            settings=self.settings,
            instances=self.instances,
            count=self.count,
            desired=self.desired,
            budget=self.budget,
            floor=self.floor,
            trial=trial,
            most_boots=self.most_boots,
            cleared=self.cleared,
            paused=self.phase == PAUSED,
            wanted=self.wanted,
            signalled=self.signal is not None,
            repeats=self.repeats,
            now=self.now,
            turned_at=self.turned_at,
            settling_since=self.settling_since,
        )

    def _do(self, move: Move) -> Action:
        one = move.instance
        if one is None:
            return self._send(adds=True)
        if move.kind == moves.STOP:
            self._mark(one, STOP)
            self.given_back += one.surplus and not one.heard
            return ev.StopInstance(one.id)
        self._mark(one, RETIRE)
        if not one.fresh:
            self.unpaired_old.append(one.id.pid)
        if move.kind == moves.RETIRE:
            return ev.StopInstance(one.id)
        # The arbiter's hook settles the same one: it will be replaced if it leaves from now on.
        surplus = [other for other in self.instances.fresh if other.surplus]
        if surplus:
            min(surplus, key=lambda other: (not other.ready, other.age)).surplus = False
        return self._send(adds=False, instance=one.id)
