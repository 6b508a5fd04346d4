"""What every rollout is: observed instances, a wanted end, and what an event changes of both.

The invariant:

    While a rollout runs, at least ``desired - max_unavailable`` instances are *ready* and
    at most ``desired + max_surge`` are running (those that were asked to leave and are
    draining not counted). Whatever fails, what was serving keeps serving, and the worker
    count ends where it began.

A rollout begins with a snapshot: the instances that run now are *outdated*, others that are
seen are *fresh*, whoever caused their birth. So nothing is paired: an outdated instance that
dies by itself is one less to replace. What may move next is derived at each step from what
is observed, by the two strategies: ``workers`` and ``arbiter``.

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
from typing import ClassVar

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import verdict
from supervisor_roll.rollout.errors import IllegalEvent
from supervisor_roll.rollout.events import Action, Event, InstanceId
from supervisor_roll.rollout.instances import RETIRE, Instance, Instances
from supervisor_roll.rollout.reports import OUTCOMES, Began, Broken, Note, Stuck
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, FINAL, PAUSED, PROGRESSING

# An arbiter handles a signal within a second unless it is busy; since Gunicorn 25 a HUP
# keeps it busy until its old workers have drained.
CONFIRM_SECS = 15.0
# When it is first looked whether a signal was heard whose effect was not told.
LOOK_SECS = 0.5
# How often a signal is repeated; the listener may have been killed before it was sent.
REPEATS = 2
# What an instance that serves nobody gets between TERM and KILL, and ABRT and KILL.
STOP_GRACE_SECS = 5.0


class Rollout:
    """One replacement of a program's instances. ``handle`` is the only way to change it."""

    strategy: ClassVar[str] = ""
    # The attributes that are plain data, for a snapshot.
    PLAIN: ClassVar[tuple[str, ...]] = (
        "desired",
        "count",
        "began",
        "now",
        "total",
        "floor",
        "min_ready",
        "became_available",
        "cleared",
        "state",
        "wanted",
        "why",
        "ended",
        "replaced",
        "_turned_at",
        "_olds",
        "_news",
        "_deadlines",
        "_looked_at",
        "_repeats",
    )

    def __init__(
        self,
        settings: Settings,
        outdated: Iterable[Instance],
        count: int,
        now: float,
        cleared: bool = True,
    ) -> None:
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
        self._canaries = (
            0 if settings.canary is None else max(1, settings.canary.of(count, round_up=True))
        )
        self.cleared = cleared  # False: nothing is retired before Cleared
        self.state = PROGRESSING
        self.wanted = COMPLETE
        self.why = ""
        self.ended: float | None = None
        self.replaced = 0
        self._signal: tuple[str, float, InstanceId | None] | None = None  # kind, when, for whom
        self._turned_at: float | None = None
        self._gone: set[InstanceId] = set()
        self._olds: list[int] = []
        self._news: list[tuple[int, float, str]] = []  # pid, boot_secs, health
        self._deadlines: list[float] = []
        self._looked_at: float | None = None
        self._repeats = 0  # of signals since one was last heard

    @property
    def next_deadline(self) -> float | None:
        """When ``TimePassed`` is due at the latest, if nothing else happens; None if never."""
        return min(self._deadlines, default=None)

    def begin(self) -> list[Action]:
        """The first actions. Called once."""
        tell = Began(
            strategy=self.strategy,
            workers=self.total,
            desired=self.desired,
            ready=self.min_ready,
            max_surge=self.budget.surge,
            max_unavailable=self.budget.unavailable,
            canary=self._canaries,
            min_ready_secs=self.settings.min_ready_secs,
        )
        return [tell, *self._plan()]

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take note of ``event`` at ``now`` and say what to do. Raises IllegalEvent."""
        name = _TRANSITIONS[self.state].get(type(event), "")
        transition: Callable[..., list[Action]] | None = getattr(self, name, None)
        if transition is None:
            raise IllegalEvent(f"{type(event).__name__} to a rollout that is {self.state}")
        if not now >= self.now:
            raise IllegalEvent(f"time went back from {self.now} to {now}")
        _check(event)
        self.now = now
        late = getattr(event, "instance", None) in self._gone
        actions = [] if late else transition(event)
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
            known.age, known.heard = event.age, True
            # It may have ceased to be: its word on that is the arbiter's. It never becomes so.
            known.surplus = known.surplus and event.surplus
            return []
        self._register(event.instance, event.age, event.surplus, event.fresh)
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
            return self._turn(
                FAILED,
                f"worker {instance.id.pid} was ready, and then failed its "
                f"health check: {event.why}",
                instance.id.pid,
            )
        return []

    def _boot_failed(self, event: ev.BootFailed) -> list[Action]:
        instance = self._known(event.instance)
        instance.loaded = True  # it waits to leave, and hears signals
        if instance.fresh and not instance.asked:
            return self._turn(
                FAILED, f"worker {instance.id.pid} failed to boot: {event.why}", instance.id.pid
            )
        return []

    def _fork_failed(self, event: ev.ForkFailed) -> list[Action]:
        return self._turn(FAILED, event.why)

    def _exited(self, event: ev.Exited) -> list[Action]:
        self._gone.add(event.instance)
        instance = self.instances.remove(event.instance)
        if instance is None or not instance.heard:
            return []
        if not instance.fresh:
            return [] if instance.asked else self._outdated_exited(instance, event.why)
        if not instance.available and not instance.asked:
            stage = (
                "before it was available"
                if instance.ready
                else "before it was ready"
                if instance.loaded
                else "while it booted"
            )
            because = f" ({event.why})" if event.why else ""
            return self._died(instance, f"exited {stage}{because}")
        return []

    def _died(self, instance: Instance, how: str) -> list[Action]:
        """A fresh instance that nobody asked to go has left before it was available."""
        return self._turn(FAILED, f"worker {instance.id.pid} {how}", instance.id.pid)

    def _counted(self, event: ev.Counted) -> list[Action]:
        raise NotImplementedError

    def _observed(self, event: ev.Observed) -> list[Action]:
        raise NotImplementedError

    def _arbiter_exited(self, event: ev.ArbiterExited) -> list[Action]:
        self._append_why(event.why)
        for one in list(self.instances):
            self.instances.remove(one.id)  # they ended with it
        return self._end(ABORTED if self.wanted == ABORTED else FAILED)

    def _outdated_exited(self, instance: Instance, why: str) -> list[Action]:
        """An outdated instance has exited by itself."""
        raise NotImplementedError

    def _aborted(self, event: ev.Aborted) -> list[Action]:
        return self._turn(ABORTED, f"aborted by {event.by}")

    def _paused(self, event: ev.Paused) -> list[Action]:
        if self.state == PAUSED:
            return []
        self.state = PAUSED
        return [Note(f"paused by {event.by}")]

    def _resumed(self, event: ev.Resumed) -> list[Action]:
        if self.state == PROGRESSING:
            return []
        self.state = PROGRESSING
        return [Note(f"resumed by {event.by}")]

    def _cleared(self, event: ev.PreflightPassed) -> list[Action]:
        self.cleared = True
        return []

    def _objected(self, event: ev.PrerequisiteFailed) -> list[Action]:
        return self._turn(FAILED, event.why)

    def _measured(self, event: ev.Measured) -> list[Action]:
        why = verdict.error_rate_regression(event.fresh, event.outdated)
        return self._turn(FAILED, why) if why else []

    def _time_passed(self, event: ev.TimePassed) -> list[Action]:
        return []

    def _known(self, instance: InstanceId) -> Instance:
        known = self.instances.get(instance) or self._register(instance, 0, False)
        known.heard = True
        return known

    def _register(
        self, instance: InstanceId, age: int, surplus: bool, fresh: bool = True
    ) -> Instance:
        return self.instances.add(
            Instance(instance, age, fresh=fresh, since=self.now, surplus=surplus)
        )

    def _meet_unheard(self, event: ev.Observed, fresh: bool, surplus: int) -> int:
        """Take note of workers that have said nothing yet; how many were not asked to go.

        As many as ``surplus`` of them their arbiter will not replace.
        """
        youngest = max((one.age for one in self.instances), default=0)
        for worker in event.workers:
            if worker not in self._gone and self.instances.get(worker) is None:
                youngest += 1
                self._register(worker, youngest, surplus > 0, fresh).heard = False
                surplus -= 1
        leaving = {one.id for one in self.instances.leaving}
        return len(set(event.workers) - leaving)

    def _turn(self, wanted: str, why: str, pid: int = 0) -> list[Action]:
        """From now on the rollout is to end as ``wanted``; the first reason stays."""
        if self.wanted != COMPLETE:
            return []
        self.wanted, self.why, self._turned_at = wanted, why, self.now
        return [Broken(why, pid)] if wanted == FAILED else []

    def _append_why(self, why: str) -> None:
        self.why = f"{self.why}; {why}" if self.why else why

    def _end(self, state: str) -> list[Action]:
        self.state, self.ended = state, self.now
        self._deadlines = []
        return [
            OUTCOMES[state](
                strategy=self.strategy,
                why=self.why,
                secs=round(self.now - self.began, 3),
                replaced=self.replaced,
                total=self.total,
                min_ready=self.min_ready,
                desired=self.desired,
                count=self.count,
                outdated=[one.id.pid for one in self.instances.outdated],
                fresh=[one.id.pid for one in self.instances.fresh],
            )
        ]

    # --- the plan: what to do about what is observed ---------------------------------------

    def _plan(self) -> list[Action]:
        """What to do now; sets the deadlines."""
        raise NotImplementedError

    def _due(self, when: float) -> bool:
        if self.now >= when:
            return True
        self._deadlines.append(when)
        return False

    def _mark_available(self) -> None:
        """Ready fresh instances become available, once they have been so for long enough."""
        for one in self.instances.fresh:
            baked = (
                0.0 if self._canaries and self._canaries_passed() else self.settings.min_ready_secs
            )
            if (
                one.ready_since is not None
                and not one.available
                and self._due(one.ready_since + baked)
            ):
                one.available = True
                self.became_available += 1
                self._news.append((one.id.pid, one.boot_secs, one.health))

    def _escalate_stops(self) -> list[Action]:
        """Ask again, and harder, those that were asked to leave and stay."""
        actions: list[Action] = []
        for one in self.instances.leaving:
            patience = self.settings.drain_timeout_secs if one.drains else STOP_GRACE_SECS
            steps: list[Action] = [ev.DumpInstance(one.id)] if one.drains else []
            steps.append(ev.KillInstance(one.id))
            while one.escalations < len(steps) and self._due(
                one.asked_at + patience + one.escalations * STOP_GRACE_SECS
            ):
                actions.append(
                    Stuck(
                        one.id.pid,
                        round(self.now - one.asked_at, 3),
                        "ABRT" if len(steps) - one.escalations == 2 else "KILL",
                    )
                )
                actions.append(steps[one.escalations])
                one.escalations += 1
        return actions

    def _mark(self, one: Instance, how: str) -> None:
        one.asked, one.asked_at = how, self.now
        if how == RETIRE and not one.fresh:
            self._olds.append(one.id.pid)
        self._deadlines.append(
            self.now + (self.settings.drain_timeout_secs if one.drains else STOP_GRACE_SECS)
        )

    def _lingers(self, one: Instance) -> bool:
        """Whether one that was asked to go may be there still: later not even KILL has helped."""
        return not self._due(one.asked_at + self.settings.drain_timeout_secs + 2 * STOP_GRACE_SECS)

    def _overdue(self, members: Iterable[Instance]) -> list[Action]:
        """Turn the rollout if a fresh one of ``members`` was not ready in time.

        An outdated one that has not even loaded is nothing that the new release could help.
        """
        limit = self.settings.ready_timeout_secs
        for one in members:
            if not one.fresh:
                one.hangs = not one.loaded and self._due(one.since + limit)
            elif not one.ready and self._due(one.since + limit):
                last = f"; its last health check: {one.health}" if one.health else ""
                stage = "" if one.loaded else ": it had not loaded its application"
                if not one.heard:
                    stage = ": it has said nothing at all; does it reach the readiness socket?"
                return self._turn(
                    FAILED,
                    f"worker {one.id.pid} was not ready within {limit:g} s{stage}{last}",
                    one.id.pid,
                )
        return []

    def _canaries_passed(self) -> bool:
        """Whether the canaries, if any are asked for, have become available."""
        return self.became_available >= self._canaries

    def _send(self, kind: str, action: Action, instance: InstanceId | None = None) -> Action:
        self._signal = (kind, self.now, instance)
        self._deadlines.append(self.now + LOOK_SECS)
        return action

    def _look(self, since: float, successor: bool = False) -> list[Action]:
        """Look again and again, each time after twice as long, what has become of it ``since``."""
        last, confirm = self._looked_at, since + CONFIRM_SECS
        if last is None or last < since:
            last, due = since, since + LOOK_SECS
        else:
            due = last + min(max(last - since, LOOK_SECS), CONFIRM_SECS)
        if last < confirm < due:
            due = confirm
        if not self._due(due):
            return []
        self._looked_at = self.now
        self._look(since)  # when the next one is due
        return [ev.Look(successor)]


def _check(event: Event) -> None:
    if isinstance(event, ev.Counted | ev.Configured) and event.count < 0:
        raise IllegalEvent(f"an arbiter cannot want {event.count} instances")
    if isinstance(event, ev.BecameReady) and not event.boot_secs >= 0:
        raise IllegalEvent(f"an instance cannot boot in {event.boot_secs} s")


_WHILE_PROGRESSING: dict[type[Event], str] = {
    ev.Started: "_started",
    ev.Loaded: "_loaded",
    ev.BecameReady: "_became_ready",
    ev.BecameUnready: "_became_unready",
    ev.BootFailed: "_boot_failed",
    ev.ForkFailed: "_fork_failed",
    ev.Exited: "_exited",
    ev.Counted: "_counted",
    ev.Observed: "_observed",
    ev.ArbiterExited: "_arbiter_exited",
    ev.SuccessorStarted: "_successor_started",  # of strategy arbiter alone
    ev.Configured: "_configured",
    ev.Promoted: "_promoted",
    ev.Aborted: "_aborted",
    ev.Paused: "_paused",
    ev.Resumed: "_resumed",
    ev.PreflightPassed: "_cleared",
    ev.PrerequisiteFailed: "_objected",
    ev.Measured: "_measured",
    ev.TimePassed: "_time_passed",
}
_TRANSITIONS: dict[str, dict[type[Event], str]] = {
    PROGRESSING: _WHILE_PROGRESSING,
    PAUSED: _WHILE_PROGRESSING,
    COMPLETE: {},
    FAILED: {},
    ABORTED: {},
}
