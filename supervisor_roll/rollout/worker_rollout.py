"""Strategy ``workers``: new code under the same arbiter.

From what it observes the rollout derives at each step what may move (``plan``):

- with a surge it has the arbiter run one more instance (``AddInstance``) while fewer than
  ``desired`` are or will be fresh, and retire its oldest (``RemoveOldest``) once enough
  others are available. Only one such signal is under way at a time, since signals of one
  kind coalesce: the next goes out when the arbiter has told its new count, or the process
  table shows it. It is never repeated without such a look, and not for ever.
- without one (``max_surge=0``) it stops an outdated instance (``StopInstance``) and waits
  for the arbiter to replace it. That replacement is as fresh as one that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import worker_plan
from supervisor_roll.rollout.events import Action, InstanceId
from supervisor_roll.rollout.instances import RETIRE, STOP, Instance
from supervisor_roll.rollout.machine import (
    CONFIRM_SECS,
    REPEATS,
    STOP_GRACE_SECS,
    Rollout,
)
from supervisor_roll.rollout.reports import Left, Replaced
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, PROGRESSING, WORKERS
from supervisor_roll.rollout.worker_plan import Move, Standing

# How long the count may take to come back after the last instance left.
SETTLE_SECS = 10.0
# For how long the process table must show fewer workers than there are to be at the end.
STEADY_SECS = 2.0


class WorkerRollout(Rollout):
    """One replacement of an arbiter's workers."""

    strategy: ClassVar[str] = WORKERS
    PLAIN: ClassVar[tuple[str, ...]] = (
        *Rollout.PLAIN,
        "_short_since",
        "_differs_since",
        "_settling_since",
        "_given_back",
    )

    def __init__(
        self,
        settings: Settings,
        outdated: Iterable[Instance],
        count: int,
        now: float,
        cleared: bool = True,
    ) -> None:
        super().__init__(settings, outdated, count, now, cleared)
        self._short_since: float | None = None
        self._differs_since: float | None = None
        self._settling_since: float | None = None
        self._given_back = 0  # unheard ones that were asked to go, and the count has not followed

    def _counted(self, event: ev.Counted) -> list[Action]:
        if (
            event.count != self.count
            and self._signal is not None
            and (self._signal[0] == ("add" if event.count > self.count else "remove"))
        ):
            self._signal, self._repeats = None, 0
        self._found(event.count)
        return []

    def _found(self, count: int) -> None:
        """So many are wanted now."""
        self._given_back = max(0, self._given_back - max(0, self.count - count))
        self.count = count

    def _observed(self, event: ev.Observed) -> list[Action]:
        kind, sent_at, whom = self._signal or ("", 0.0, None)
        added = self.count + (kind == worker_plan.ADD) - self.desired
        known = sum(one.surplus for one in self.instances.fresh)
        # One that was taken for surplus, and was replaced when it left, was none.
        surplus = added - known - self._given_back
        running = self._meet_unheard(event, fresh=True, surplus=surplus)
        most = self.desired + max(self.budget.surge, 1)
        unheard = [one.id.pid for one in self.instances.fresh if not one.heard]
        if running > most and unheard and self.wanted == COMPLETE:
            self._found(running)
            self._signal = None
            return self._turn(
                FAILED,
                f"{running} workers run where {most} may: of {_listed(unheard)} nothing was heard; "
                "do they reach the readiness socket?",
            )
        if kind == worker_plan.ADD and running > self.count:
            return self._counted(ev.Counted(running))
        if kind == worker_plan.REMOVE and whom not in event.workers and running < self.count:
            return self._counted(ev.Counted(self.count - 1))
        if kind:
            late = self.now >= sent_at + CONFIRM_SECS
            return self._unconfirmed(kind, whom) if late else []
        since = self._differs_since
        if since is not None and self.now >= since + self._patience(running):
            self._found(running)
            self._differs_since = None
        return []

    def _unconfirmed(self, kind: str, whom: InstanceId | None) -> list[Action]:
        """A signal has had no effect that is to be seen.

        A second RemoveOldest would retire one too many if the first was heard after all. To
        ask the very instance that was to go is the same whether it was heard or not.
        """
        one = self.instances.get(whom) if whom is not None else None
        if one is not None and self._lingers(one):
            if self._repeats:
                return []  # it drains
            self._repeats = 1
            return [ev.StopInstance(one.id)]
        self._signal = None
        self._repeats += one is None
        if self._repeats <= REPEATS:
            return []  # the plan will send another
        name = "TTIN" if kind == worker_plan.ADD else "TTOU"
        return self._turn(FAILED, f"the arbiter did not react to {name}, {REPEATS + 1} times sent")

    def _patience(self, running: int) -> float:
        """How long the process table is to differ from what was told until it is believed."""
        if running > self.count:  # one of them may drain, on somebody else's word
            return self.settings.drain_timeout_secs + 2 * STOP_GRACE_SECS
        at_end = self.wanted != COMPLETE and self.count > self.desired
        return STEADY_SECS if at_end else CONFIRM_SECS

    def _outdated_exited(self, instance: Instance, why: str) -> list[Action]:
        self._olds.append(instance.id.pid)
        return [Left(instance.id.pid, why)]

    def _plan(self) -> list[Action]:
        self._deadlines = []
        self._mark_available()
        actions = self._pair_for_display()
        actions += self._escalate_stops()
        if self._signal is not None:
            actions += self._look(self._signal[1])
        actions += self._compare()
        if self.wanted == COMPLETE:
            actions += self._check_deadlines()
        if self.wanted == COMPLETE:
            actions += self._roll()
        else:
            actions += self._wind_down()
        return actions

    def _pair_for_display(self) -> list[Action]:
        """Retired and available ones are told in pairs.

        A pair is for the operator's eye. No decision rests on it.
        """
        actions: list[Action] = []
        while self._olds and self._news:
            old, (new, boot_secs, health) = self._olds.pop(0), self._news.pop(0)
            self.replaced += 1
            actions.append(Replaced(old, new, boot_secs, health, self.replaced, self.total))
        return actions

    def _compare(self) -> list[Action]:
        """Look at what the process table shows where more or fewer run than are wanted."""
        up, leaving = len(self.instances.up), len(self.instances.leaving)
        if self._signal is not None or up <= self.count <= up + leaving:
            self._differs_since = None
            return []
        if self._differs_since is None:
            self._differs_since = self.now
        return self._look(self._differs_since)

    def _check_deadlines(self) -> list[Action]:
        """Whether time has shown the release, or the arbiter, to be bad."""
        limit = self.settings.ready_timeout_secs
        late = self._overdue(self.instances.up)
        if late:
            return late
        for one in self.instances.leaving:
            if not self._lingers(one):
                return self._turn(
                    FAILED, f"worker {one.id.pid} is still there after it was killed", one.id.pid
                )
        # One that was never heard may be the last of many that have crashed.
        heard = [one for one in self.instances if one.asked or one.heard]
        if len(heard) >= self.count:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = self.now
        if self._short_since is not None and self._due(self._short_since + limit):
            return self._turn(FAILED, f"the arbiter started no worker within {limit:g} s")
        return []

    def _roll(self) -> list[Action]:
        actions: list[Action] = []
        while self.state == PROGRESSING and self._signal is None:
            move = worker_plan.next_move(self._standing())
            if move is None:
                break
            actions.append(self._do(move))
        if self._signal is None and worker_plan.is_complete(self._standing()):
            actions += self._end(COMPLETE)
        return actions

    def _standing(self) -> Standing:
        trial = self.desired if self._canaries_passed() else self._canaries
        return Standing(
            self.instances, self.count, self.desired, self.budget, self.floor, trial, self.cleared
        )

    def _do(self, move: Move) -> Action:
        one = move.instance
        if one is None:
            return self._send(worker_plan.ADD, ev.AddInstance())
        self._mark(one, STOP if move.kind == worker_plan.DROP_SPARE else RETIRE)
        if move.kind != worker_plan.REMOVE:
            return ev.StopInstance(one.id)
        # The arbiter's hook settles the same one: it will be replaced if it leaves from now on.
        surplus = [other for other in self.instances.fresh if other.surplus]
        if surplus:
            min(surplus, key=lambda other: (not other.ready, other.age)).surplus = False
        return self._send(worker_plan.REMOVE, ev.RemoveOldest(), one.id)

    def _wind_down(self) -> list[Action]:
        """Stop what this rollout started, and end once the count is back."""
        actions: list[Action] = []
        in_place = not self.budget.surge
        limit = self.settings.ready_timeout_secs
        turned_at = self.began if self._turned_at is None else self._turned_at
        for one in self.instances.fresh:
            # One that is loaded but fails its check is held, and serves nobody; a replacement
            # of it would not be.
            overdue = not one.loaded and one.since <= turned_at and self.now >= one.since + limit
            if one.surplus or (in_place and overdue):
                self._mark(one, STOP)
                self._given_back += one.surplus and not one.heard
                actions.append(ev.StopInstance(one.id))
        if self._signal is not None or any(
            one.escalations < (2 if one.drains else 1) or self._lingers(one)
            for one in self.instances.leaving
        ):
            self._settling_since = None
            return actions
        if self._may_lower():
            return [*actions, self._do(Move(worker_plan.REMOVE, self.instances.up[0]))]
        if self._settling_since is None:
            self._settling_since = self.now
        settled = self.count <= self.desired and len(self.instances.up) >= min(
            self.count, self.desired
        )
        # An abort in place waits for what replaces the last one that was stopped.
        is_complete = settled and all(one.ready for one in self.instances.fresh)
        if (
            in_place
            and self.wanted == ABORTED
            and not is_complete
            and not self._due(turned_at + limit)
        ):
            return actions
        if settled or self._due(self._settling_since + SETTLE_SECS):
            if not settled:
                self.why += (
                    f"; the worker count is {self.count} with {len(self.instances.up)}"
                    f" running, {self.desired} are desired"
                )
            actions += self._end(self.wanted)
        return actions

    def _may_lower(self) -> bool:
        """Whether one too many runs that its arbiter would replace, and the oldest can go."""
        up = self.instances.up
        if self.count <= self.desired or len(up) <= self.desired or self._repeats > REPEATS:
            return False
        left = [one for one in self.instances.ready if one is not up[0]]
        return up[0].loaded and len(left) >= min(self.floor, len(self.instances.ready))


def _listed(pids: list[int]) -> str:
    return ", ".join(map(str, pids))
