"""What every rollout is: observed instances, a phase, and what an event changes of both.

The invariant:

    While a rollout runs, at least ``desired - max_unavailable`` instances are *ready* and
    at most ``desired + max_surge`` are running (those that were asked to leave and are
    draining not counted). Whatever fails, what was serving keeps serving, and the worker
    count ends where it began.

A rollout begins with a snapshot: the instances that run now are *outdated*, others that are
seen are *fresh*, whoever caused their birth. So nothing is paired: an outdated instance that
dies by itself is one less to replace. What may move next is derived at each step from what
is observed, by the plans of the two strategies: ``worker_plan`` and ``arbiter_plan``.

The first fresh instance that dies before it is available, or is not ready in time, turns
the rollout: it stops what it started, waits until the count is back, and ends ``failed``.
An abort turns it likewise.

An illegal event raises IllegalEvent and changes nothing. A message may well come late, for
an instance that is gone: that is legal, and means nothing.
"""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, get_args

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import verdict
from supervisor_roll.rollout.errors import IllegalEvent
from supervisor_roll.rollout.events import Action, Event, InstanceId, Whose
from supervisor_roll.rollout.instances import Instance, Instances
from supervisor_roll.rollout.phases import TRANSITIONS, Cause, outcome_of, state_of
from supervisor_roll.rollout.reports import OUTCOMES, Began, Broken, Note, Stuck
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.signals import Signal, next_look
from supervisor_roll.rollout.timing import LOOK_SECS, STOP_GRACE_SECS
from supervisor_roll.rollout.words import COMPLETE, FINAL, PROGRESSING

# A boot that computes for more than that share of its time is limited by its core.
COMPUTES_FROM = 0.5
_Self = TypeVar("_Self", bound="Rollout")


@dataclass(kw_only=True)
class Rollout(ABC):
    """One replacement of a program's instances: all that is known of it, and all that is saved.

    ``handle`` is the only way to change it.
    """

    strategy: ClassVar[str] = ""
    takes: ClassVar[tuple[type, ...]] = get_args(ev.Event)

    settings: Settings
    instances: Instances
    budget: Budget
    desired: int
    count: int
    began: float
    now: float
    total: int
    floor: int  # fewer are never to be ready
    min_ready: int
    cores: int = 0  # that the instances may use; 0: not known
    computes: bool = False  # the first fresh one's boot was limited by its core
    cleared: bool = True  # False: nothing is retired before PreflightPassed
    phase: str = PROGRESSING
    why: str = ""
    turned_at: float = 0.0
    ended: float | None = None
    became_available: int = 0
    replaced: int = 0
    next_deadline: float | None = None  # when TimePassed is due, if nothing else happens before
    signal: Signal | None = None
    repeats: int = 0  # of signals since one was last heard
    looked_at: float | None = None

    @classmethod
    def of(
        cls: type[_Self],
        settings: Settings,
        outdated: Iterable[Instance],
        count: int,
        now: float,
        budget: Budget | None = None,
        **more: Any,
    ) -> _Self:
        """Make a rollout of these instances, of which an arbiter wants ``count``.

        ``budget``: where that is another than the settings say.
        """
        instances = Instances([copy.copy(one) for one in outdated])
        budget, ready = budget or settings.budget(count), len(instances.ready)
        return cls(
            settings=settings,
            instances=instances,
            budget=budget,
            desired=count,
            count=count,
            began=now,
            now=now,
            total=len(instances.outdated),
            # Where fewer are ready, no more can be promised than not to make it worse.
            floor=min(count - budget.unavailable, ready),
            min_ready=ready,
            **more,
        )

    @property
    def state(self) -> str:
        """What the operator is told: progressing, paused, complete, failed or aborted."""
        return state_of(self.phase)

    @property
    def wanted(self) -> str:
        """How it is to end: complete, failed or aborted."""
        return outcome_of(self.phase)

    @property
    def canaries(self) -> int:
        canary = self.settings.canary
        return 0 if canary is None else max(1, canary.of(self.desired, round_up=True))

    @property
    def canaries_passed(self) -> bool:
        """Whether the canaries, if any are asked for, have become available."""
        return self.became_available >= self.canaries

    @property
    def proved(self) -> bool:
        """Whether a fresh instance has been ready, so that more of them may boot at once."""
        ready = any(one.ready for one in self.instances.fresh if not one.kept)
        return ready or self.became_available > 0

    @property
    def most_boots(self) -> int:
        """How many may boot at once: more than there are cores only take longer, each of them."""
        return self.cores if self.computes and self.cores else sys.maxsize

    @property
    def to_come(self) -> int:
        """How many more instances than now it may still have at once, if all goes well."""
        if self.wanted != COMPLETE:
            return 0
        room = self.desired + self.budget.surge - len(self.instances.up)
        return max(0, min(room, self.desired - len(self.instances.fresh)))

    def begin(self) -> list[Action]:
        """Return the first actions. Called once."""
        report = Began(
            strategy=self.strategy,
            workers=self.total,
            desired=self.desired,
            ready=self.min_ready,
            max_surge=self.budget.surge,
            max_unavailable=self.budget.unavailable,
            canary=self.canaries,
            min_ready_secs=self.settings.min_ready_secs,
        )
        return [report, *self._plan()]

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take note of ``event`` at ``now`` and say what to do. Raises IllegalEvent."""
        self._check(event, now)
        self.now = now
        late = getattr(event, "instance", None) in self.instances.gone
        actions = [] if late else self._observe(event)
        self.min_ready = min(self.min_ready, len(self.instances.ready))
        lasting = [one for one in self.instances.ready if not one.surplus]
        self.floor = max(self.floor, min(self.desired - self.budget.unavailable, len(lasting)))
        if self.phase not in FINAL:
            actions += self._plan()
        self.min_ready = min(self.min_ready, len(self.instances.ready))
        return actions

    def _check(self, event: Event, now: float) -> None:
        if self.phase in FINAL or not isinstance(event, self.takes):
            raise IllegalEvent(f"{type(event).__name__} to a rollout that is {self.state}")
        if not now >= self.now:
            raise IllegalEvent(f"time went back from {self.now} to {now}")
        if isinstance(event, ev.Counted | ev.Configured) and event.count < 0:
            raise IllegalEvent(f"an arbiter cannot want {event.count} instances")
        if isinstance(event, ev.BecameReady) and not event.boot_secs >= 0:
            raise IllegalEvent(f"an instance cannot boot in {event.boot_secs} s")

    # --- what an event changes in what is observed -----------------------------------------

    def _observe(self, event: Event) -> list[Action]:
        if isinstance(event, ev.WorkerEvent):
            return self._observe_worker(event)
        if isinstance(event, ev.ArbiterEvent):
            return self._observe_arbiter(event)
        return self._control(event)

    def _observe_worker(self, event: ev.WorkerEvent) -> list[Action]:
        match event:
            case ev.Started():
                self._started(event)
            case ev.Loaded():
                self.instances.known(event.instance, self.now).loaded = True
            case ev.BecameReady():
                self._became_ready(event)
            case ev.BecameUnready():
                return self._became_unready(event)
            case ev.BootFailed():
                return self._boot_failed(event)
            case _:
                return self._exited(event)
        return []

    def _observe_arbiter(self, event: ev.ArbiterEvent) -> list[Action]:
        match event:
            case ev.ForkFailed():
                return self._fork_failed(event)
            case ev.Counted():
                return self._counted(event)
            case ev.Observed():
                return self._observed(event)
            case _:
                return self._arbiter_exited(event)

    def _control(self, event: Event) -> list[Action]:
        match event:
            case ev.Aborted():
                return self._aborted(event)
            case ev.Paused() if self._go(Cause.PAUSE):
                return [Note(f"paused by {event.by}")]
            case ev.Resumed() if self._go(Cause.RESUME):
                return [Note(f"resumed by {event.by}")]
            case ev.PreflightPassed():
                self.cleared = True
            case ev.PrerequisiteFailed():
                return self._prerequisite_failed(event)
            case ev.Measured():
                increase = self.settings.max_error_rate_increase
                why = verdict.error_rate_regression(event.fresh, event.outdated, increase)
                return self._turn(Cause.FAILURE, why) if why else []
        return []

    def _started(self, event: ev.Started) -> None:
        known = self.instances.get(event.instance)
        if known is None:
            self.instances.add(
                Instance(event.instance, event.age, event.fresh, self.now, event.surplus)
            )
            return
        self.instances.aged(known, event.age)
        known.heard = True
        # It may have ceased to be: its word on that is the arbiter's. It never becomes so.
        known.surplus = known.surplus and event.surplus

    def _became_ready(self, event: ev.BecameReady) -> None:
        instance = self.instances.known(event.instance, self.now)
        instance.loaded = True
        instance.boot_secs, instance.health = event.boot_secs, event.health
        if instance.fresh and not instance.kept and not self.proved:  # it has booted alone
            self.computes = event.cpu_secs > COMPUTES_FROM * event.boot_secs
        if not instance.ready:
            instance.ready_since = self.now

    def _became_unready(self, event: ev.BecameUnready) -> list[Action]:
        instance = self.instances.known(event.instance, self.now)
        instance.loaded = True
        instance.health = event.why
        was_ready, instance.ready_since = instance.ready, None
        if was_ready and instance.kept:
            instance.since = self.now  # so long it has to recover: others cannot go meanwhile
        if was_ready and instance.fresh and not instance.kept and not instance.wanted_gone:
            text = "was ready, and then failed its health check"
            return self._instance_failed(instance, f"{text}: {event.why}")
        return []

    def _boot_failed(self, event: ev.BootFailed) -> list[Action]:
        instance = self.instances.known(event.instance, self.now)
        instance.loaded = True  # it waits to leave, and hears signals
        if instance.fresh and not instance.kept and not instance.wanted_gone:
            return self._instance_failed(instance, f"failed to boot: {event.why}")
        return []

    def _exited(self, event: ev.Exited) -> list[Action]:
        instance = self.instances.exited(event.instance)
        if instance is None or not instance.heard or instance.wanted_gone:
            return []
        if not instance.fresh:
            return self._outdated_exited(instance, event.why)
        if instance.available or instance.kept:
            return []
        stage = "while it booted"
        if instance.loaded:
            stage = f"before it was {'available' if instance.ready else 'ready'}"
        because = f" ({event.why})" if event.why else ""
        return self._fresh_exited(instance, f"exited {stage}{because}")

    def _fresh_exited(self, instance: Instance, how: str) -> list[Action]:
        """Note that a fresh instance left before it was available, and nobody asked it to go."""
        return self._instance_failed(instance, how)

    @abstractmethod
    def _outdated_exited(self, instance: Instance, why: str) -> list[Action]:
        """Note that an outdated instance has exited by itself."""

    def _fork_failed(self, event: ev.ForkFailed) -> list[Action]:
        return self._turn(Cause.FAILURE, event.why)

    @abstractmethod
    def _counted(self, event: ev.Counted) -> list[Action]:
        """Note that an arbiter wants another number of workers."""

    @abstractmethod
    def _observed(self, event: ev.Observed) -> list[Action]:
        """Note the workers of an arbiter that the process table shows."""

    def _arbiter_exited(self, event: ev.ArbiterExited) -> list[Action]:
        self.instances.members.clear()  # they ended with it
        return self._end(Cause.LOSS, event.why)

    def _aborted(self, event: ev.Aborted) -> list[Action]:
        return self._turn(Cause.ABORT, f"aborted by {event.by}")

    def _prerequisite_failed(self, event: ev.PrerequisiteFailed) -> list[Action]:
        return self._turn(Cause.FAILURE, event.why)

    # --- from phase to phase ---------------------------------------------------------------

    def _go(self, cause: Cause) -> bool:
        """Go on to the next phase; False if ``cause`` leads to none from this one."""
        after = TRANSITIONS[self.phase].get(cause)
        self.phase = after or self.phase
        return after is not None

    def _turn(self, cause: Cause, why: str, pid: int = 0) -> list[Action]:
        """Take back what the rollout started, from now on."""
        if not self._go(cause):
            return []
        self.why, self.turned_at = why, self.now
        return [Broken(why, pid)] if cause is Cause.FAILURE else []

    def _instance_failed(self, instance: Instance, how: str) -> list[Action]:
        pid = instance.id.pid
        return self._turn(Cause.FAILURE, f"worker {pid} {how}", pid)

    def _end(self, cause: Cause = Cause.DONE, why: str = "") -> list[Action]:
        self._go(cause)
        self.why = "; ".join(filter(None, (self.why, why)))
        self.ended, self.next_deadline = self.now, None
        return [
            OUTCOMES[self.state](
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

    # --- what to do about what is observed -------------------------------------------------

    @abstractmethod
    def _plan(self) -> list[Action]:
        """Return what to do now, and set the deadline."""

    def _due(self, when: float) -> bool:
        if self.now >= when:
            return True
        self.next_deadline = when if self.next_deadline is None else min(self.next_deadline, when)
        return False

    def _mark_available(self) -> list[Action]:
        """Ready fresh instances become available, once they have been so for long enough."""
        actions: list[Action] = []
        for one in self.instances.fresh:
            passed = self.canaries and self.canaries_passed
            baked = 0.0 if passed else self.settings.min_ready_secs
            if one.ready_since is None or one.available or not self._due(one.ready_since + baked):
                continue
            one.available = True
            if one.kept:
                continue
            self.became_available += 1
            actions += self._arrived(one)
        return actions

    @abstractmethod
    def _arrived(self, one: Instance) -> list[Action]:
        """Note that a fresh instance has become available."""

    def _escalate_stops(self) -> list[Action]:
        """Ask again, and harder, those that were asked to leave and stay."""
        actions: list[Action] = []
        for one in self.instances.leaving:
            patience = one.patience_secs(self.settings.drain_timeout_secs)
            for action in one.harder:
                if not self._due(one.asked_at + patience + one.escalations * STOP_GRACE_SECS):
                    break
                signal = "ABRT" if isinstance(action, ev.DumpInstance) else "KILL"
                actions += [Stuck(one.id.pid, round(self.now - one.asked_at, 3), signal), action]
                one.escalations += 1
        return actions

    def _mark(self, one: Instance, how: str) -> None:
        one.wanted_gone, one.asked_at = how, self.now
        self._due(self.now + one.patience_secs(self.settings.drain_timeout_secs))

    def _lingers(self, one: Instance) -> bool:
        """Whether one that was asked to go may be there still: later not even KILL has helped."""
        return not self._due(one.given_up_at(self.settings.drain_timeout_secs))

    def _check_readiness(self, members: Iterable[Instance]) -> list[Action]:
        """Turn the rollout if a fresh one of ``members`` was not ready in time.

        An outdated one that has not even loaded is nothing that the new release could help.
        """
        limit = self.settings.ready_timeout_secs
        for one in members:
            if not one.fresh:
                one.hangs = not one.loaded and self._due(one.since + limit)
            elif one.kept and not one.available:
                pass  # it did not serve as the rollout began
            elif not one.ready and self._due(one.since + limit):
                last = f"; its last health check: {one.health}" if one.health else ""
                stage = "" if one.loaded else ": it had not loaded its application"
                if not one.heard:
                    stage = ": it has said nothing at all; does it reach the readiness socket?"
                return self._instance_failed(one, f"was not ready within {limit:g} s{stage}{last}")
        return []

    # --- signals to an arbiter -------------------------------------------------------------

    def _send(
        self, adds: bool, whose: Whose = Whose.ARBITER, instance: InstanceId | None = None
    ) -> Action:
        self.signal = Signal(adds, whose, self.now, instance)
        self._due(self.now + LOOK_SECS)
        return self.signal.action

    def _heard(self, before: int, count: int, whose: Whose = Whose.ARBITER) -> None:
        """Note that a count has changed, perhaps by the signal under way."""
        if self.signal is not None and self.signal.explains(before, count, whose):
            self.signal, self.repeats = None, 0

    def _look(self, since: float, whose: Whose = Whose.ARBITER) -> list[Action]:
        """Look again and again what has become of what happened ``since``."""
        if not self._due(next_look(since, self.looked_at)):
            return []
        self.looked_at = self.now
        self._due(next_look(since, self.now))
        return [ev.Look(whose)]
