"""Strategy ``workers``: new code under the same arbiter.

From what it observes the rollout derives at each step what may move (``plan``):

- with a surge it has the arbiter run one more instance (``AddInstance``) while fewer than
  ``desired`` are or will be fresh, and retire its oldest (``RemoveOldest``) once enough
  others are available. Only one such signal is under way at a time, since signals of one
  kind coalesce: the next goes out when the arbiter has told its new count.
- without one (``max_surge=0``) it stops an outdated instance (``StopInstance``) and waits
  for the arbiter to replace it. That replacement is as fresh as one that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import plan, settings
from supervisor_roll.rollout.events import Action
from supervisor_roll.rollout.instances import RETIRE, STOP, Instance
from supervisor_roll.rollout.machine import (
    ABORTED,
    COMPLETE,
    CONFIRM_SECS,
    FAILED,
    PROGRESSING,
    STOP_GRACE_SECS,
    Rollout,
)
from supervisor_roll.rollout.plan import Move, Standing
from supervisor_roll.rollout.settings import Settings

# How long the count may take to come back after the last instance left.
SETTLE_SECS = 10.0


class WorkerRollout(Rollout):
    """One replacement of an arbiter's workers."""

    strategy: ClassVar[str] = settings.WORKERS
    PLAIN: ClassVar[tuple[str, ...]] = (
        *Rollout.PLAIN,
        "_short_since",
        "_unheard",
        "_settling_since",
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
        self._unheard = False
        self._settling_since: float | None = None

    def _counted(self, event: ev.Counted) -> list[Action]:
        if (
            event.count != self.count
            and self._signal is not None
            and (self._signal[0] == ("add" if event.count > self.count else "remove"))
        ):
            self._signal = None
        self.count, self._unheard = event.count, False
        return []

    def _left(self, instance: Instance, why: str) -> list[Action]:
        self._olds.append(instance.id.pid)
        return [ev.Tell("left", {"pid": instance.id.pid, "why": why})]

    def _plan(self) -> list[Action]:
        self._deadlines = []
        self._bake()
        actions = self._told()
        actions += self._urge()
        actions += self._repeat()
        if self.wanted == COMPLETE:
            actions += self._judge()
        if self.wanted == COMPLETE:
            actions += self._roll()
        else:
            actions += self._wind_down()
        return actions

    def _told(self) -> list[Action]:
        """Retired and available ones are told in pairs.

        A pair is for the operator's eye. No decision rests on it.
        """
        actions: list[Action] = []
        while self._olds and self._news:
            old, (new, boot_secs, health) = self._olds.pop(0), self._news.pop(0)
            self.replaced += 1
            actions.append(
                ev.Tell(
                    "replaced",
                    {
                        "old": old,
                        "new": new,
                        "boot_secs": boot_secs,
                        "health": health,
                        "done": self.replaced,
                        "total": self.total,
                    },
                )
            )
        return actions

    def _repeat(self) -> list[Action]:
        """Take a signal whose effect was not told for lost: the plan will send another.

        A second RemoveOldest would retire one too many if the first was heard after all. To
        ask the very instance that was to go is the same whether it was heard or not.
        """
        if self._signal is None or not self._due(self._signal[1] + CONFIRM_SECS):
            return []
        oldest = self.instances.get(self._signal[2]) if self._signal[2] else None
        # Heard, but the new count was not told? Then the one that went is not replaced.
        self._unheard = self._signal[0] == plan.REMOVE
        self._signal = None
        return [ev.StopInstance(oldest.id)] if oldest is not None else []

    def _judge(self) -> list[Action]:
        """Whether time has shown the release, or the arbiter, to be bad."""
        limit = self.settings.ready_timeout_secs
        late = self._overdue(self.instances.up)
        if late:
            return late
        for one in self.instances.leaving:
            if self._due(one.asked_at + self.settings.drain_timeout_secs + 2 * STOP_GRACE_SECS):
                return self._turn(
                    FAILED, f"worker {one.id.pid} is still there after it was killed", one.id.pid
                )
        if self.count - len(self.instances.up) - len(self.instances.leaving) <= 0:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = self.now
        if (
            self._unheard
            and self._short_since is not None
            and self._due(self._short_since + CONFIRM_SECS)
        ):
            self.count = len(self.instances.up) + len(self.instances.leaving)
            self._short_since, self._unheard = None, False
        if self._short_since is not None and self._due(self._short_since + limit):
            return self._turn(FAILED, f"the arbiter started no worker within {limit:g} s")
        return []

    def _roll(self) -> list[Action]:
        actions: list[Action] = []
        while self.state == PROGRESSING and self._signal is None:
            move = plan.next_move(self._standing())
            if move is None:
                break
            actions.append(self._do(move))
        if self._signal is None and plan.whole(self._standing()):
            actions += self._end(COMPLETE)
        return actions

    def _standing(self) -> Standing:
        trial = self.desired if self._proved() else self._canaries
        return Standing(
            self.instances, self.count, self.desired, self.budget, self.floor, trial, self.cleared
        )

    def _do(self, move: Move) -> Action:
        one = move.instance
        if one is None:
            return self._send(plan.ADD, ev.AddInstance())
        self._mark(one, STOP if move.kind == plan.DISMISS else RETIRE)
        if move.kind != plan.REMOVE:
            return ev.StopInstance(one.id)
        # The arbiter's hook settles the same one: it will be replaced if it leaves from now on.
        surplus = [other for other in self.instances.fresh if other.surplus]
        if surplus:
            min(surplus, key=lambda other: (not other.ready, other.age)).surplus = False
        return self._send(plan.REMOVE, ev.RemoveOldest(), one.id)

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
                actions.append(ev.StopInstance(one.id))
        if self._signal is not None or any(
            one.urged < (2 if one.ready or one.asked == RETIRE else 1)
            or not self._due(one.asked_at + self.settings.drain_timeout_secs + 2 * STOP_GRACE_SECS)
            for one in self.instances.leaving
        ):
            self._settling_since = None
            return actions
        if self._settling_since is None:
            self._settling_since = self.now
        settled = self.count <= self.desired and len(self.instances.up) >= min(
            self.count, self.desired
        )
        # An abort in place waits for what replaces the last one that was stopped.
        whole = settled and all(one.ready for one in self.instances.fresh)
        if in_place and self.wanted == ABORTED and not whole and not self._due(turned_at + limit):
            return actions
        if settled or self._due(self._settling_since + SETTLE_SECS):
            if not settled:
                self.why += (
                    f"; the worker count is {self.count} with {len(self.instances.up)}"
                    f" running, {self.desired} are desired"
                )
            actions += self._end(self.wanted)
        return actions
