"""Strategy ``arbiter``: a new arbiter with all its workers beside the one that serves.

The *successor* starts with as many workers as the budget leaves room for: all of them where
two full sets may run, else fewer, and then it grows (``AddInstance``) as the old arbiter shrinks
(``RemoveOldest``), by no more than are available for it. An arbiter cannot have fewer than
one worker, so with ``max_surge=0`` the last step takes one more than that.

When all of the successor's workers are available it is promoted, which is the point of no
return: it has the program's name, and the old arbiter drains. Until then whatever fails, or
an abort, discards the successor; if the old arbiter had shrunk, it grows back first, while
the successor's workers still serve.

Each action that goes to supervisord (start, promote, discard) may be asked for again, and is
by a listener that was started in between (``again``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout import settings
from supervisor_roll.rollout.events import Action, InstanceId
from supervisor_roll.rollout.instances import RETIRE, STOP, Instance
from supervisor_roll.rollout.machine import (
    ABORTED,
    COMPLETE,
    CONFIRM_SECS,
    FAILED,
    PROGRESSING,
    Rollout,
)
from supervisor_roll.rollout.settings import Budget, Settings

# How long an arbiter that halts may take until it is gone.
HALT_SECS = 2.0
_START, _PROMOTE, _DISCARD = "start", "promote", "discard"
_ACTIONS: dict[str, Callable[[], Action]] = {
    _START: ev.StartSuccessor, _PROMOTE: ev.Promote, _DISCARD: ev.Discard}


class ArbiterRollout(Rollout):
    """One replacement of an arbiter. ``full``: two full sets of workers may run."""

    strategy: ClassVar[str] = settings.ARBITER
    PLAIN: ClassVar[tuple[str, ...]] = (
        *Rollout.PLAIN, "first", "successor_count", "promoted", "old_gone", "_asked", "_asked_at",
        "_unmet_since", "_hopeless", "_lost")

    def __init__(self, settings: Settings, outdated: Iterable[Instance], count: int,
                 now: float, full: bool = True) -> None:
        super().__init__(settings, outdated, count, now)
        if full:
            self.budget = Budget(max(count, 1), self.budget.unavailable)
        self.successor: InstanceId | None = None
        self.first = 0  # with how many workers the successor begins
        self.successor_count = 0
        self.promoted = False
        self.old_gone = False
        self._asked = ""  # what supervisord was asked for and is yet to be seen
        self._asked_at: float | None = None
        self._unmet_since: float | None = None
        self._lost: tuple[float, int, str] | None = None  # when, whose and how a worker was lost
        self._hopeless = ""  # why the old arbiter does not get its workers back

    def again(self) -> list[Action]:
        """What supervisord was asked for and has not been seen: it may not have heard it."""
        return [_ACTIONS[self._asked]()] if self._asked else []

    # --- transitions --------------------------------------------------------------------------

    def _successor_started(self, event: ev.SuccessorStarted) -> list[Action]:
        if self.successor == event.arbiter:
            return []
        self.successor, self.successor_count = event.arbiter, self.first
        if self._asked == _START:
            self._asked = ""
        self._unmet_since = self.now
        return [ev.Tell("succeeded", {"new": event.arbiter.pid})]

    def _promoted(self, event: ev.Promoted) -> list[Action]:
        if self.promoted:
            return []
        self.promoted, self._asked = True, ""
        for one in self.instances.outdated:
            self._mark(one, RETIRE)
        self.count, self.replaced = self.successor_count, self.total
        return [ev.Tell("promoted", {"new": self.successor.pid if self.successor else 0})]

    def _counted(self, event: ev.Counted) -> list[Action]:
        before = self.successor_count if event.successor else self.count
        if self._signal is not None and event.count != before and (
                self._signal[0] == _signal_of(event.successor, event.count > before)):
            self._signal = None
        if event.successor:
            self.successor_count = event.count
        elif not self.promoted:
            self.count = event.count
        return []

    def _arbiter_exited(self, event: ev.ArbiterExited) -> list[Action]:
        if event.successor:
            self.successor, self._asked, self._signal = None, "", None
            for one in list(self.instances):
                if one.fresh:
                    self.instances.remove(one.id)
            if self.promoted:
                self._also(event.why)
                return self._end(FAILED)
            # Of one that was discarded nobody wants to hear how it ended.
            return self._turn(FAILED, event.why)
        self.old_gone = True
        for one in list(self.instances):
            if not one.fresh:
                self.instances.remove(one.id)
        return [] if self.promoted else self._turn(FAILED, event.why)

    def _objected(self, event: ev.Objected) -> list[Action]:
        if self._asked in (_START, _PROMOTE):
            self._asked = ""
        return self._turn(FAILED, event.why)

    def _aborted(self, event: ev.Aborted) -> list[Action]:
        if self.promoted:
            return [ev.Tell("note", {
                "text": "too late to abort: the successor serves, and the old arbiter drains"})]
        return super()._aborted(event)

    def _boot_failed(self, event: ev.BootFailed) -> list[Action]:
        actions = super()._boot_failed(event)
        instance = self.instances.get(event.instance)
        if instance is not None and not instance.fresh:
            self._hopeless = f"a worker of the old arbiter failed to boot: {event.why}"
        return actions

    def _exited(self, event: ev.Exited) -> list[Action]:
        instance = self.instances.get(event.instance)
        if instance is None or not instance.fresh or instance.available or instance.asked:
            return super()._exited(event)
        # A first worker that cannot boot takes its arbiter with it: that one's end says more.
        stage = ("before it was available" if instance.ready else
                 "before it was ready" if instance.loaded else "while it booted")
        because = f" ({event.why})" if event.why else ""
        self._gone.add(event.instance)
        self.instances.remove(event.instance)
        self._lost = self._lost or (self.now, instance.id.pid, (
            f"worker {instance.id.pid} of the successor exited {stage}{because}"))
        return []

    def _left(self, instance: Instance, why: str) -> list[Action]:
        if not instance.ready and self.wanted != COMPLETE:
            self._hopeless = self._hopeless or "a worker of the old arbiter exited while it booted"
        return []  # its arbiter replaces it, and both are replaced

    def _turn(self, wanted: str, why: str, pid: int = 0) -> list[Action]:
        # What goes wrong after the promotion is the new arbiter's to mend, as in any other hour.
        return [] if self.promoted else super()._turn(wanted, why, pid)

    # --- the plan -----------------------------------------------------------------------------

    def _plan(self) -> list[Action]:
        self._deadlines = []
        self._bake()
        actions = self._arrived()
        if not self.promoted:  # from then on supervisord sees to it, within stopwaitsecs
            actions += self._urge()
        if self._signal is not None and self._due(self._signal[1] + CONFIRM_SECS):
            kind, _, whom = self._signal
            self._signal = None
            one = self.instances.get(whom) if whom else None
            if one is not None:
                one.asked = ""  # should it go all the same, that will be seen
            text = f"an arbiter did not react to {kind} within {CONFIRM_SECS:g} s"
            if self.wanted == COMPLETE:
                actions += self._turn(FAILED, text)
            else:
                self._hopeless = self._hopeless or text
        if self.promoted:
            return actions + (self._end(COMPLETE) if self.old_gone else [])
        if self.wanted == COMPLETE:
            actions += self._judge()
        return actions + (self._roll() if self.wanted == COMPLETE else self._wind_down())

    def _arrived(self) -> list[Action]:
        actions: list[Action] = []
        done = self.became_available - len(self._news)
        for pid, boot_secs, health in self._news:
            done += 1
            actions.append(ev.Tell("arrived", {
                "pid": pid, "boot_secs": boot_secs, "health": health,
                "done": min(done, self.desired), "total": self.desired}))
        self._news = []
        return actions

    def _judge(self) -> list[Action]:
        limit = self.settings.ready_timeout_secs
        if self._lost is not None and self._due(self._lost[0] + HALT_SECS):
            return self._turn(FAILED, self._lost[2], self._lost[1])
        late = self._overdue(self.instances.fresh)
        if late:
            return late
        if self.successor is None or len(self.instances.fresh) >= self.successor_count:
            self._unmet_since = None
        elif self._unmet_since is None:
            self._unmet_since = self.now
        if self._unmet_since is not None and self._due(self._unmet_since + limit):
            return self._turn(FAILED, (
                f"the successor had {len(self.instances.fresh)} of {self.successor_count} workers "
                f"after {limit:g} s"))
        return []

    def _roll(self) -> list[Action]:
        if self.state != PROGRESSING or self._asked or self._signal is not None:
            return []
        if self.successor is None:
            if not self.budget.surge and self._may_shrink(self.desired - self.budget.unavailable):
                return [self._shrink()]
            room = self.desired + self.budget.surge - self.count
            canaries = self._canaries or self.desired
            self.first = max(1, min(self.desired, canaries, room))
            return self._ask(_START)
        available = len([one for one in self.instances.fresh if one.available])
        if self._lost is not None:
            return []
        if self.successor_count >= self.desired:
            return self._ask(_PROMOTE) if available >= self.desired else []
        if not self._proved():
            return []
        if self.successor_count + self.count < self.desired + self.budget.surge or self.count <= 1:
            self._signal = (_signal_of(True, True), self.now, None)
            self._due(self.now + CONFIRM_SECS)
            return [ev.AddInstance(successor=True)]
        settled = available >= self.successor_count
        return [self._shrink()] if settled and self._may_shrink(1) else []

    def _may_shrink(self, least: int) -> bool:
        """Whether the old arbiter can do with one worker less, and still have ``least``."""
        if self.count <= max(least, 1) or len(self.instances.outdated) > self.count:
            return False
        oldest = self.instances.outdated[0] if self.instances.outdated else None
        if oldest is None or not oldest.loaded:
            return False
        return len(self.instances.counted) - oldest.ready >= self.floor

    def _shrink(self) -> Action:
        oldest = self.instances.outdated[0]
        self._mark(oldest, RETIRE)
        self._signal = (_signal_of(False, False), self.now, oldest.id)
        self._due(self.now + CONFIRM_SECS)
        return ev.RemoveOldest()

    def _ask(self, what: str) -> list[Action]:
        self._asked, self._asked_at = what, self.now
        return self.again()

    def _wind_down(self) -> list[Action]:
        """Give the old arbiter back what it had, then discard the successor, then end."""
        if self._signal is not None or self._asked in (_PROMOTE, _START):
            return []
        turned_at = self.began if self._turned_at is None else self._turned_at
        if self._due(turned_at + 2 * self.settings.ready_timeout_secs):
            self._hopeless = self._hopeless or "its workers were not ready in time"
        short = self.count < self.desired
        outdated = self.instances.outdated
        settled = len(outdated) >= self.count and all(one.ready for one in outdated)
        if self.old_gone or self._hopeless or (not short and settled):
            return self._leave()
        if not short or self._asked:
            return []
        booting = [one for one in self.instances.fresh if not one.ready]
        if any(one.since > turned_at or one.age <= self.first for one in booting):
            return self._ask(_DISCARD)  # these would be replaced, and there is no end to that
        for one in booting:
            self._mark(one, STOP)
        if booting:
            return [ev.StopInstance(one.id) for one in booting]
        held = len([one for one in self.instances if one.fresh])
        if self.count + held < self.desired + max(self.budget.surge, 1):
            self._signal = (_signal_of(False, True), self.now, None)
            self._due(self.now + CONFIRM_SECS)
            return [ev.AddInstance()]
        if not settled or any(one.asked for one in self.instances if one.fresh):
            return []
        if held <= 1:
            return self._ask(_DISCARD)
        oldest = self.instances.fresh[0]
        self._mark(oldest, STOP)
        self._signal = (_signal_of(True, False), self.now, oldest.id)
        self._due(self.now + CONFIRM_SECS)
        return [ev.RemoveOldest(successor=True)]

    def _leave(self) -> list[Action]:
        if self.successor is not None:
            return [] if self._asked == _DISCARD else self._ask(_DISCARD)
        if self.count < self.desired and not self.old_gone:
            self.why += (f"; the old arbiter is left with {self.count} of {self.desired} workers"
                         + (f": {self._hopeless}" if self._hopeless else ""))
        return self._end(ABORTED if self.wanted == ABORTED else FAILED)


def _signal_of(successor: bool, more: bool) -> str:
    return f"{'TTIN' if more else 'TTOU'} ({'the successor' if successor else 'the old one'})"
