"""The state of a rollout of strategy ``arbiter``: two arbiters, and what an event changes of them.

What to do about it is ``ArbiterRollout``'s. Each action that goes to supervisord (start,
promote, discard) may be asked for again, and is by a listener that was started in between
(``again``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import Action, InstanceId
from supervisor_roll.rollout.instances import RETIRE, Instance
from supervisor_roll.rollout.machine import (
    Rollout,
)
from supervisor_roll.rollout.reports import Arrived, Note, Promoted, Succeeded
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.words import ARBITER, COMPLETE, FAILED

START, PROMOTE, DISCARD = "start", "promote", "discard"
ACTIONS: dict[str, Callable[[], Action]] = {
    START: ev.StartSuccessor,
    PROMOTE: ev.Promote,
    DISCARD: ev.Discard,
}


def signal_of(successor: bool, more: bool) -> str:
    return f"{'TTIN' if more else 'TTOU'} ({'the successor' if successor else 'the old one'})"


SIGNALS = {
    signal_of(successor, more): (successor, more)
    for successor in (False, True)
    for more in (False, True)
}


class Succession(Rollout):
    """What is observed while an arbiter is replaced. ``full``: two full sets of workers may run."""

    strategy: ClassVar[str] = ARBITER
    PLAIN: ClassVar[tuple[str, ...]] = (
        *Rollout.PLAIN,
        "goal",
        "first",
        "successor_count",
        "promoted",
        "old_gone",
        "_asked",
        "_unmet_since",
        "_unrecoverable_why",
        "_crashed_worker",
        "_repeats",
        "_shrunk",
        "_kept_since",
        "_forced",
    )

    def __init__(
        self,
        settings: Settings,
        outdated: Iterable[Instance],
        count: int,
        now: float,
        full: bool = True,
    ) -> None:
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
        self._unmet_since: float | None = None
        self._crashed_worker: tuple[float, int, str] | None = (
            None  # when, whose and how a worker was lost
        )
        self._shrunk = False  # the old arbiter was asked for a worker
        self._kept_since: float | None = None  # since when it is needed though the rollout is over
        self._forced = False  # aborted once more, though the successor's workers are needed
        self._unrecoverable_why = ""  # why the old arbiter does not get its workers back

    def again(self) -> list[Action]:
        """What supervisord was asked for and has not been seen: it may not have heard it."""
        return [ACTIONS[self._asked]()] if self._asked else []

    def _successor_started(self, event: ev.SuccessorStarted) -> list[Action]:
        if self.successor == event.arbiter:
            return []
        self.successor, self.successor_count = event.arbiter, self.first
        if self._asked == START:
            self._asked = ""
        self._unmet_since = self.now
        return [Succeeded(new=event.arbiter.pid)]

    def _configured(self, event: ev.Configured) -> list[Action]:
        goal = max(1, event.count)
        if self.promoted or goal == self.goal:
            return []
        self.goal = goal
        self.first = self._beginning()
        if self.successor is not None:
            self.successor_count = self.first
        return [Note(f"the successor is configured with another number of workers: {goal}")]

    def _promoted(self, event: ev.Promoted) -> list[Action]:
        if self.promoted:
            return []
        self.promoted, self._asked, self.desired = True, "", self.goal
        for one in self.instances.outdated:
            self._mark(one, RETIRE)
        self.count, self.replaced = self.successor_count, self.total
        return [Promoted(new=self.successor.pid if self.successor else 0)]

    def _counted(self, event: ev.Counted) -> list[Action]:
        before = self.successor_count if event.successor else self.count
        if (
            self._signal is not None
            and event.count != before
            and (self._signal[0] == signal_of(event.successor, event.count > before))
        ):
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
                self._append_why(event.why)
                return self._end(FAILED)
            # Of one that was discarded nobody wants to hear how it ended.
            return self._turn(FAILED, event.why)
        self.old_gone = True
        for one in list(self.instances):
            if not one.fresh:
                self.instances.remove(one.id)
        return [] if self.promoted else self._turn(FAILED, event.why)

    def _objected(self, event: ev.PrerequisiteFailed) -> list[Action]:
        if self._asked in (START, PROMOTE):
            self._asked = ""
        return self._turn(FAILED, event.why)

    def _aborted(self, event: ev.Aborted) -> list[Action]:
        if self.promoted:
            return [Note("too late to abort: the successor serves, and the old arbiter drains")]
        self._forced = self._kept_since is not None
        return super()._aborted(event)

    def _became_ready(self, event: ev.BecameReady) -> list[Action]:
        actions = super()._became_ready(event)
        self._known(event.instance).surplus = False  # from now on its arbiter would replace it
        return actions

    def _boot_failed(self, event: ev.BootFailed) -> list[Action]:
        actions = super()._boot_failed(event)
        instance = self.instances.get(event.instance)
        if instance is not None and not instance.fresh:
            first = event.why.partition("\n")[0]
            self._unrecoverable_why = f"a worker of the old arbiter failed to boot: {first}"
        return actions

    def _fork_failed(self, event: ev.ForkFailed) -> list[Action]:
        if not event.successor:
            self._unrecoverable_why = event.why
        return super()._fork_failed(event)

    def _died(self, instance: Instance, how: str) -> list[Action]:
        # A first worker that cannot boot takes its arbiter with it: that one's end says more.
        self._crashed_worker = self._crashed_worker or (
            self.now,
            instance.id.pid,
            f"worker {instance.id.pid} of the successor {how}",
        )
        return []

    def _outdated_exited(self, instance: Instance, why: str) -> list[Action]:
        if not instance.ready and self.wanted != COMPLETE:
            self._unrecoverable_why = (
                self._unrecoverable_why or "a worker of the old arbiter exited while it booted"
            )
        return []  # its arbiter replaces it, and both are replaced

    def _turn(self, wanted: str, why: str, pid: int = 0) -> list[Action]:
        # What goes wrong after the promotion is the new arbiter's to mend, as in any other hour.
        return [] if self.promoted else super()._turn(wanted, why, pid)

    def _arrived(self) -> list[Action]:
        actions: list[Action] = []
        done = self.became_available - len(self._news)
        for pid, boot_secs, health in self._news:
            done += 1
            actions.append(Arrived(pid, boot_secs, health, min(done, self.goal), self.goal))
        self._news = []
        return actions

    @property
    def _most(self) -> int:
        return max(self.desired, self.goal) + self.budget.surge

    def _beginning(self) -> int:
        """With how many workers the successor can begin."""
        return max(1, min(self.goal, self._canaries or self.goal, self._most - self.count))
