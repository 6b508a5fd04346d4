"""Strategy ``arbiter``: a new arbiter with all its workers beside the one that serves.

The *successor* starts with as many workers as the budget leaves room for: all of them where
two full sets may run, else fewer, and then it grows (``AddInstance``) as the old arbiter shrinks
(``RemoveOldest``), by no more than are available for it. An arbiter cannot have fewer than
one worker, so with ``max_surge=0`` the last step takes one more than that.

It is to have as many workers as the old arbiter (``goal``), unless its configuration has another
number of them than the old one's had.

When all of the successor's workers are available it is promoted, which is the point of no
return: it has the program's name, and the old arbiter drains. Until then whatever fails, or
an abort, discards the successor; if the old arbiter had shrunk, it grows back first, while
the successor's workers still serve.

Each action that goes to supervisord (start, promote, discard) may be asked for again, and is
by a listener that was started in between (``again``). A signal is repeated where neither the
arbiter's word nor its workers show that it was heard.
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
    STOP_GRACE_SECS,
    Rollout,
)
from supervisor_roll.rollout.settings import Budget, Settings

# How long an arbiter that halts may take until it is gone.
HALT_SECS = 2.0
# How often a signal is repeated; the listener may have been killed before it was sent.
REPEATS = 2
_START, _PROMOTE, _DISCARD = "start", "promote", "discard"
_ACTIONS: dict[str, Callable[[], Action]] = {
    _START: ev.StartSuccessor, _PROMOTE: ev.Promote, _DISCARD: ev.Discard}


class ArbiterRollout(Rollout):
    """One replacement of an arbiter. ``full``: two full sets of workers may run."""

    strategy: ClassVar[str] = settings.ARBITER
    PLAIN: ClassVar[tuple[str, ...]] = (
        *Rollout.PLAIN, "goal", "first", "successor_count", "promoted", "old_gone", "_asked",
        "_asked_at", "_unmet_since", "_hopeless", "_lost", "_repeats")

    def __init__(self, settings: Settings, outdated: Iterable[Instance], count: int,
                 now: float, full: bool = True) -> None:
        super().__init__(settings, outdated, count, now)
        if full:
            self.budget = Budget(max(count, 1), self.budget.unavailable)
        self.successor: InstanceId | None = None
        self.goal = count  # how many workers the successor is to have when it is promoted
        self.first = 0  # with how many it begins
        self.successor_count = 0
        self.promoted = False
        self.old_gone = False
        self._asked = ""  # what supervisord was asked for and is yet to be seen
        self._asked_at: float | None = None
        self._unmet_since: float | None = None
        self._lost: tuple[float, int, str] | None = None  # when, whose and how a worker was lost
        self._repeats = 0  # of the signal that is under way
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

    def _configured(self, event: ev.Configured) -> list[Action]:
        goal = max(1, event.count)
        if self.promoted or goal == self.goal:
            return []
        self.goal = goal
        self.first = self._beginning()
        if self.successor is not None:
            self.successor_count = self.first
        return [ev.Tell("note", {
            "text": f"the successor is configured with another number of workers: {goal}"})]

    def _promoted(self, event: ev.Promoted) -> list[Action]:
        if self.promoted:
            return []
        self.promoted, self._asked, self.desired = True, "", self.goal
        for one in self.instances.outdated:
            self._mark(one, RETIRE)
        self.count, self.replaced = self.successor_count, self.total
        return [ev.Tell("promoted", {"new": self.successor.pid if self.successor else 0})]

    def _counted(self, event: ev.Counted) -> list[Action]:
        before = self.successor_count if event.successor else self.count
        if self._signal is not None and event.count != before and (
                self._signal[0] == _signal_of(event.successor, event.count > before)):
            self._signal, self._repeats = None, 0
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
            actions += self._unconfirmed(*self._signal)
        if self.promoted:
            return actions + (self._end(COMPLETE) if self.old_gone else [])
        if self.wanted == COMPLETE:
            actions += self._judge()
        return actions + (self._roll() if self.wanted == COMPLETE else self._wind_down())

    def _unconfirmed(self, kind: str, sent_at: float, whom: InstanceId | None) -> list[Action]:
        """No new count was told: see whether the signal was heard, else repeat it."""
        successor, more = _SIGNALS[kind]
        count = self.successor_count if successor else self.count
        up = len(self.instances.fresh if successor else self.instances.outdated)
        one = self.instances.get(whom) if whom is not None else None
        self._signal = None
        if up > count if more else one is None and up < count:
            # That was told to a listener that was killed, or to none.
            self._repeats = 0
            return self._counted(ev.Counted(up, successor))
        leaves = one is not None and one.asked and self.now < (
            one.asked_at + self.settings.drain_timeout_secs + 2 * STOP_GRACE_SECS)
        if self._repeats < REPEATS or leaves:
            self._repeats += 1
            if not more and one is None:
                return []  # it was replaced, so the signal was not heard: there will be another
            self._signal = (kind, self.now, whom)
            self._due(self.now + CONFIRM_SECS)
            # To ask the very one that was to go is the same whether the signal was heard or not.
            return [ev.AddInstance(successor) if one is None else ev.StopInstance(one.id)]
        if one is not None:
            one.asked = ""  # should it go all the same, that will be seen
        self._repeats = 0
        text = f"an arbiter did not react to {kind} within {CONFIRM_SECS:g} s"
        if self.wanted == COMPLETE:
            return self._turn(FAILED, text)
        self._hopeless = self._hopeless or text
        return []

    def _arrived(self) -> list[Action]:
        actions: list[Action] = []
        done = self.became_available - len(self._news)
        for pid, boot_secs, health in self._news:
            done += 1
            actions.append(ev.Tell("arrived", {
                "pid": pid, "boot_secs": boot_secs, "health": health,
                "done": min(done, self.goal), "total": self.goal}))
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
            self.first = self._beginning()
            return self._ask(_START)
        available = len([one for one in self.instances.fresh if one.available])
        if self._lost is not None:
            return []
        if self.successor_count >= self.goal:
            return self._ask(_PROMOTE) if available >= self.goal else []
        # Before it has its signal handlers, which come before its workers, TTIN would stop it.
        if not self._proved() or not self.instances.fresh:
            return []
        if self.successor_count + self.count < self._most or self.count <= 1:
            self._signal = (_signal_of(True, True), self.now, None)
            self._due(self.now + CONFIRM_SECS)
            return [ev.AddInstance(successor=True)]
        settled = available >= self.successor_count
        return [self._shrink()] if settled and self._may_shrink(1) else []

    @property
    def _most(self) -> int:
        return max(self.desired, self.goal) + self.budget.surge

    def _beginning(self) -> int:
        """With how many workers the successor can begin."""
        return max(1, min(self.goal, self._canaries or self.goal, self._most - self.count))

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
        if what == _DISCARD:
            # One that hangs in its boot would hold up its arbiter's end for graceful_timeout.
            for one in self.instances.fresh:
                if not one.ready:
                    self._mark(one, STOP)
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


_SIGNALS = {_signal_of(successor, more): (successor, more)
            for successor in (False, True) for more in (False, True)}
