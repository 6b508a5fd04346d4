"""The rollout machine. Everything that changes a rollout's state is in this file.

The invariant:

    While a rollout runs, at least ``desired - max_unavailable`` instances are *ready* and
    at most ``desired + max_surge`` are running (those that were asked to leave and are
    draining not counted). Whatever fails, what was serving keeps serving, and the worker
    count ends where it began.

Theory of operation. A rollout begins with a snapshot: the instances that run now are
*outdated*, every other one that is ever seen is *fresh*, whoever caused its birth. So
nothing is paired: an outdated instance that dies by itself is one less to replace, and the
arbiter's replacement for it is as fresh as one that we asked for. From what it observes the
machine derives at each step what may move:

- with a surge it has the arbiter run one more instance (``AddInstance``) while fewer than
  ``desired`` are or will be fresh, and retire its oldest (``RemoveOldest``) once enough
  others are available. Only one such signal is under way at a time, since signals of one
  kind coalesce: the next goes out when the arbiter has told its new count.
- without one (``max_surge=0``) it stops an outdated instance (``StopInstance``) and waits
  for the arbiter to replace it.

The first fresh instance that dies before it is available, or is not ready in time, turns
the rollout: it stops what it started, waits until the count is back, and ends ``failed``.
An abort turns it likewise. Wanted (``wanted``) and observed (``state``, ``count``, the
instances) are different fields.

An illegal event raises IllegalEvent and changes nothing. A message may well come late, for
an instance that is gone: that is legal, and means nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import plan
from supervisor_roll.rollout.errors import IllegalEvent
from supervisor_roll.rollout.events import Action, Event, InstanceId
from supervisor_roll.rollout.instances import RETIRE, STOP, Instance, Instances
from supervisor_roll.rollout.plan import Move, Standing
from supervisor_roll.rollout.settings import Settings

PROGRESSING, PAUSED = "progressing", "paused"
COMPLETE, FAILED, ABORTED = "complete", "failed", "aborted"
FINAL = frozenset({COMPLETE, FAILED, ABORTED})

# An arbiter handles a signal within a second unless it is busy; since Gunicorn 25 a HUP
# keeps it busy until its old workers have drained.
CONFIRM_SECS = 15.0
# What an instance that serves nobody gets between TERM and KILL, and ABRT and KILL.
STOP_GRACE_SECS = 5.0
# How long the count may take to come back after the last instance left.
SETTLE_SECS = 10.0


class Rollout:
    """One replacement of a program's instances. ``handle`` is the only way to change it."""

    def __init__(self, settings: Settings, outdated: Iterable[Instance], count: int,
                 now: float, cleared: bool = True) -> None:
        self.settings = settings
        self.instances = Instances(copy.copy(one) for one in outdated)
        self.desired = self.count = count
        self.began = self.now = now
        self.total = len(self.instances.outdated)
        self.budget = settings.budget(count)
        # Where fewer are ready, no more can be promised than not to make it worse.
        self.floor = min(count - self.budget.unavailable, len(self.instances.ready))
        self.min_ready = len(self.instances.ready)
        self.became_available = 0
        self._canaries = 0 if settings.canary is None else max(
            1, settings.canary.of(count, round_up=True))
        self.cleared = cleared  # False: nothing is retired before Cleared
        self.state = PROGRESSING
        self.wanted = COMPLETE
        self.why = ""
        self.ended: float | None = None
        self.replaced = 0
        self._signal: tuple[str, float, InstanceId | None] | None = None  # kind, when, for whom
        self._short_since: float | None = None
        self._unheard = False
        self._turned_at: float | None = None
        self._settling_since: float | None = None
        self._gone: set[InstanceId] = set()
        self._olds: list[int] = []
        self._news: list[tuple[int, float, str]] = []  # pid, boot_secs, health
        self._deadlines: list[float] = []

    @property
    def next_deadline(self) -> float | None:
        """When ``TimePassed`` is due at the latest, if nothing else happens; None if never."""
        return min(self._deadlines, default=None)

    def begin(self) -> list[Action]:
        """The first actions. Called once."""
        tell = ev.Tell("began", {
            "workers": self.total, "desired": self.desired, "ready": self.min_ready,
            "max_surge": self.budget.surge, "max_unavailable": self.budget.unavailable,
            "canary": self._canaries, "min_ready_secs": self.settings.min_ready_secs})
        return [tell, *self._plan()]

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take note of ``event`` at ``now`` and say what to do. Raises IllegalEvent."""
        transition = _TRANSITIONS[self.state].get(type(event))
        if transition is None:
            raise IllegalEvent(f"{type(event).__name__} to a rollout that is {self.state}")
        if not now >= self.now:
            raise IllegalEvent(f"time went back from {self.now} to {now}")
        _check(event)
        self.now = now
        late = getattr(event, "instance", None) in self._gone
        actions = [] if late else transition(self, event)
        self.min_ready = min(self.min_ready, len(self.instances.ready))
        lasting = [one for one in self.instances.ready if not one.surplus]
        self.floor = max(self.floor, min(self.desired - self.budget.unavailable, len(lasting)))
        if self.state not in FINAL:
            actions += self._plan()
        self.min_ready = min(self.min_ready, len(self.instances.ready))
        return actions

    # --- transitions: what an event changes in what is observed ---------------------------

    def _started(self, event: ev.Started) -> list[Action]:
        known = self.instances.get(event.instance)
        if known is not None:
            known.age = event.age
            return []
        self._meet(event.instance, event.age, event.surplus)
        return []

    def _loaded(self, event: ev.Loaded) -> list[Action]:
        self._known(event.instance).loaded = True
        return []

    def _became_ready(self, event: ev.BecameReady) -> list[Action]:
        instance = self._known(event.instance)
        instance.loaded = True
        instance.boot_secs, instance.health = event.boot_secs, event.health
        if not instance.ready:
            instance.ready_since = self.now
        return []

    def _became_unready(self, event: ev.BecameUnready) -> list[Action]:
        instance = self._known(event.instance)
        instance.loaded = True
        instance.health = event.why
        was_ready, instance.ready_since = instance.ready, None
        if was_ready and instance.fresh and not instance.kept and not instance.asked:
            return self._turn(FAILED, f"worker {instance.id.pid} was ready, and then failed its "
                                      f"health check: {event.why}", instance.id.pid)
        return []

    def _boot_failed(self, event: ev.BootFailed) -> list[Action]:
        instance = self._known(event.instance)
        instance.loaded = True  # it waits to leave, and hears signals
        if instance.fresh and not instance.asked:
            return self._turn(FAILED, f"worker {instance.id.pid} failed to boot: {event.why}",
                              instance.id.pid)
        return []

    def _exited(self, event: ev.Exited) -> list[Action]:
        self._gone.add(event.instance)
        instance = self.instances.remove(event.instance)
        if instance is None:
            return []
        if not instance.fresh:
            if not instance.asked:
                self._olds.append(instance.id.pid)
                return [ev.Tell("left", {"pid": instance.id.pid, "why": event.why})]
        elif not instance.available and not instance.asked:
            stage = ("before it was available" if instance.ready else
                     "before it was ready" if instance.loaded else "while it booted")
            because = f" ({event.why})" if event.why else ""
            return self._turn(FAILED, f"worker {instance.id.pid} exited {stage}{because}",
                              instance.id.pid)
        return []

    def _counted(self, event: ev.Counted) -> list[Action]:
        if event.count != self.count and self._signal is not None and (
                self._signal[0] == ("add" if event.count > self.count else "remove")):
            self._signal = None
        self.count, self._unheard = event.count, False
        return []

    def _arbiter_exited(self, event: ev.ArbiterExited) -> list[Action]:
        self.why = f"{self.why}; {event.why}" if self.why else event.why
        return self._end(ABORTED if self.wanted == ABORTED else FAILED)

    def _aborted(self, event: ev.Aborted) -> list[Action]:
        return self._turn(ABORTED, f"aborted by {event.by}")

    def _paused(self, event: ev.Paused) -> list[Action]:
        if self.state == PAUSED:
            return []
        self.state = PAUSED
        return [ev.Tell("note", {"text": f"paused by {event.by}"})]

    def _resumed(self, event: ev.Resumed) -> list[Action]:
        if self.state == PROGRESSING:
            return []
        self.state = PROGRESSING
        return [ev.Tell("note", {"text": f"resumed by {event.by}"})]

    def _cleared(self, event: ev.Cleared) -> list[Action]:
        self.cleared = True
        return []

    def _objected(self, event: ev.Objected) -> list[Action]:
        return self._turn(FAILED, event.why)

    def _measured(self, event: ev.Measured) -> list[Action]:
        why = plan.worse(event.fresh, event.outdated)
        return self._turn(FAILED, why) if why else []

    def _time_passed(self, event: ev.TimePassed) -> list[Action]:
        return []

    def _known(self, instance: InstanceId) -> Instance:
        return self.instances.get(instance) or self._meet(instance, 0, False)

    def _meet(self, instance: InstanceId, age: int, surplus: bool) -> Instance:
        return self.instances.add(
            Instance(instance, age, fresh=True, since=self.now, surplus=surplus))

    def _turn(self, wanted: str, why: str, pid: int = 0) -> list[Action]:
        """From now on the rollout is to end as ``wanted``; the first reason stays."""
        if self.wanted != COMPLETE:
            return []
        self.wanted, self.why, self._turned_at = wanted, why, self.now
        return [ev.Tell("broken", {"why": why, "pid": pid})] if wanted == FAILED else []

    def _end(self, state: str) -> list[Action]:
        self.state, self.ended = state, self.now
        self._deadlines = []
        return [ev.Tell(state, {
            "why": self.why, "secs": round(self.now - self.began, 3), "replaced": self.replaced,
            "total": self.total, "min_ready": self.min_ready, "desired": self.desired,
            "count": self.count, "outdated": [one.id.pid for one in self.instances.outdated],
            "fresh": [one.id.pid for one in self.instances.fresh]})]

    # --- the plan: what to do about what is observed ---------------------------------------

    def _plan(self) -> list[Action]:
        self._deadlines = []
        actions = self._bake()
        actions += self._urge()
        actions += self._repeat()
        if self.wanted == COMPLETE:
            actions += self._judge()
        if self.wanted == COMPLETE:
            actions += self._roll()
        else:
            actions += self._wind_down()
        return actions

    def _due(self, when: float) -> bool:
        if self.now >= when:
            return True
        self._deadlines.append(when)
        return False

    def _bake(self) -> list[Action]:
        """Ready instances become available; retired and available ones are told in pairs.

        A pair is for the operator's eye. No decision rests on it.
        """
        for one in self.instances.fresh:
            baked = 0.0 if self._canaries and self._proved() else self.settings.min_ready_secs
            if (one.ready_since is not None and not one.available
                    and self._due(one.ready_since + baked)):
                one.available = True
                self.became_available += 1
                self._news.append((one.id.pid, one.boot_secs, one.health))
        actions: list[Action] = []
        while self._olds and self._news:
            old, (new, boot_secs, health) = self._olds.pop(0), self._news.pop(0)
            self.replaced += 1
            actions.append(ev.Tell("replaced", {
                "old": old, "new": new, "boot_secs": boot_secs, "health": health,
                "done": self.replaced, "total": self.total}))
        return actions

    def _urge(self) -> list[Action]:
        """Ask again, and harder, those that were asked to leave and stay."""
        actions: list[Action] = []
        for one in self.instances.leaving:
            serves = one.asked == RETIRE or one.ready
            patience = self.settings.drain_timeout_secs if serves else STOP_GRACE_SECS
            steps: list[Action] = [ev.DumpInstance(one.id)] if serves else []
            steps.append(ev.KillInstance(one.id))
            while one.urged < len(steps) and self._due(
                    one.asked_at + patience + one.urged * STOP_GRACE_SECS):
                actions.append(ev.Tell("stuck", {
                    "pid": one.id.pid, "secs": round(self.now - one.asked_at, 3),
                    "signal": "ABRT" if len(steps) - one.urged == 2 else "KILL"}))
                actions.append(steps[one.urged])
                one.urged += 1
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
        for one in self.instances.up:
            since = one.since if one.fresh else self.began
            waits = not one.ready if one.fresh else not one.loaded
            if waits and self._due(since + limit):
                last = f"; its last health check: {one.health}" if one.health else ""
                stage = "" if one.loaded else ": it had not loaded its application"
                return self._turn(
                    FAILED, f"worker {one.id.pid} was not ready within {limit:g} s{stage}{last}",
                    one.id.pid)
        for one in self.instances.leaving:
            if self._due(one.asked_at + self.settings.drain_timeout_secs + 2 * STOP_GRACE_SECS):
                return self._turn(
                    FAILED, f"worker {one.id.pid} is still there after it was killed", one.id.pid)
        if self.count - len(self.instances.up) - len(self.instances.leaving) <= 0:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = self.now
        if self._unheard and self._short_since is not None and self._due(
                self._short_since + CONFIRM_SECS):
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
        return Standing(self.instances, self.count, self.desired, self.budget, self.floor, trial,
                        self.cleared)

    def _proved(self) -> bool:
        """Whether the canaries, if any are asked for, have become available."""
        return self.became_available >= self._canaries

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

    def _send(self, kind: str, action: Action, instance: InstanceId | None = None) -> Action:
        self._signal = (kind, self.now, instance)
        self._deadlines.append(self.now + CONFIRM_SECS)
        return action

    def _mark(self, one: Instance, how: str) -> None:
        one.asked, one.asked_at = how, self.now
        if how == RETIRE and not one.fresh:
            self._olds.append(one.id.pid)
        serves = how == RETIRE or one.ready
        self._deadlines.append(
            self.now + (self.settings.drain_timeout_secs if serves else STOP_GRACE_SECS))

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
                or not self._due(one.asked_at + self.settings.drain_timeout_secs
                                 + 2 * STOP_GRACE_SECS)
                for one in self.instances.leaving):
            self._settling_since = None
            return actions
        if self._settling_since is None:
            self._settling_since = self.now
        settled = self.count <= self.desired and len(self.instances.up) >= min(
            self.count, self.desired)
        # An abort in place waits for what replaces the last one that was stopped.
        whole = settled and all(one.ready for one in self.instances.fresh)
        if in_place and self.wanted == ABORTED and not whole and not self._due(turned_at + limit):
            return actions
        if settled or self._due(self._settling_since + SETTLE_SECS):
            if not settled:
                self.why += (f"; the worker count is {self.count} with {len(self.instances.up)}"
                             f" running, {self.desired} are desired")
            actions += self._end(self.wanted)
        return actions


def _check(event: Event) -> None:
    if isinstance(event, ev.Counted) and event.count < 0:
        raise IllegalEvent(f"an arbiter cannot want {event.count} instances")
    if isinstance(event, ev.BecameReady) and not event.boot_secs >= 0:
        raise IllegalEvent(f"an instance cannot boot in {event.boot_secs} s")


_WHILE_PROGRESSING: dict[type[Event], Callable[..., list[Action]]] = {
    ev.Started: Rollout._started,
    ev.Loaded: Rollout._loaded,
    ev.BecameReady: Rollout._became_ready,
    ev.BecameUnready: Rollout._became_unready,
    ev.BootFailed: Rollout._boot_failed,
    ev.Exited: Rollout._exited,
    ev.Counted: Rollout._counted,
    ev.ArbiterExited: Rollout._arbiter_exited,
    ev.Aborted: Rollout._aborted,
    ev.Paused: Rollout._paused,
    ev.Resumed: Rollout._resumed,
    ev.Cleared: Rollout._cleared,
    ev.Objected: Rollout._objected,
    ev.Measured: Rollout._measured,
    ev.TimePassed: Rollout._time_passed,
}
_TRANSITIONS: dict[str, dict[type[Event], Callable[..., list[Action]]]] = {
    PROGRESSING: _WHILE_PROGRESSING,
    PAUSED: _WHILE_PROGRESSING,
    COMPLETE: {},
    FAILED: {},
    ABORTED: {},
}
