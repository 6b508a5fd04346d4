"""Two arbiters as an ArbiterRollout sees them: what serves, and its successor.

The model carries out the rollout's actions as supervisord and Gunicorn would, and yields the
events that the listener would give. After each step it asserts the invariant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from supervisor_roll.listener.rollouts.saved_rollout import from_json, to_json
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.arbiter_rollout import ArbiterRollout
from supervisor_roll.rollout.events import Action, Event, InstanceId, Whose
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.reports import Facts
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.words import FINAL

OLD, NEW = InstanceId(100, 1), InstanceId(200, 2)
_WHOSE = {False: Whose.ARBITER, True: Whose.SUCCESSOR}


class Pair:
    """Workers are pids: 101, 102, ... are the old arbiter's, 201, 202, ... the successor's.

    ``moves`` are what the rollout did, in words. With ``obey`` False nobody acts on it.
    """

    def __init__(self, workers: int = 4, full: bool = True, **values: str) -> None:
        self.settings = Settings.parsed(values)
        self.old = {101 + at: True for at in range(workers)}  # pid -> ready
        self.new: dict[int, bool] = {}
        self.wanted = {False: workers, True: 0}  # by whether it is the successor
        self.alive = {False: True, True: False}
        self.now = 0.0
        self.moves: list[str] = []
        self.tells: list[Facts] = []
        self.obey = True
        self._next = {False: 101 + workers, True: 201}
        self.queue: list[Event] = []
        members = [
            Instance(
                _id(pid), pid, fresh=False, since=0.0, loaded=True, ready_since=0.0, available=True
            )
            for pid in self.old
        ]
        budget = self.settings.budget(workers)
        if full:
            budget = Budget(max(workers, 1), budget.unavailable)
        self.rollout = ArbiterRollout.of(self.settings, members, workers, 0.0, budget)
        self.floor = workers - self.rollout.budget.unavailable

    @classmethod
    def begun(cls, *arguments: Any, ready: Iterable[int] = (), **values: Any) -> Pair:
        pair = cls(*arguments, **values)
        pair.begin()
        pair.ready(*ready)
        return pair

    def begin(self) -> list[str]:
        return self._after(self.rollout.begin())

    def tell(self, *events: Event) -> list[str]:
        """Give the rollout these events, and what follows from its actions; what it did."""
        self.queue += events
        return self._settled()

    def wait(self, secs: float) -> list[str]:
        """Let time pass, from deadline to deadline."""
        until, did = self.now + secs, list[str]()
        while self.rollout.next_deadline is not None and self.rollout.next_deadline <= until:
            self.now = max(self.now, self.rollout.next_deadline)
            did += self.tell(ev.TimePassed())
        self.now = until
        return did

    def ready(self, *pids: int) -> list[str]:
        """Workers become ready."""
        did = []
        for pid in pids:
            (self.new if pid in self.new else self.old)[pid] = True
            did += self.tell(ev.Loaded(_id(pid)), ev.BecameReady(_id(pid), 1.0))
        return did

    def all_ready(self) -> list[str]:
        """Every worker that boots becomes ready, until none boots."""
        did = []
        while self.booting:
            did += self.ready(self.booting[0])
        return did

    def die(self, pid: int) -> list[str]:
        self.new.pop(pid, None)
        self.old.pop(pid, None)
        return self.tell(ev.Exited(_id(pid)))

    def end(self, successor: bool, why: str = "exited") -> list[str]:
        """An arbiter ends, and its workers with it."""
        self.alive[successor] = False
        (self.new if successor else self.old).clear()
        return self.tell(ev.ArbiterExited(why, _WHOSE[successor]))

    @property
    def booting(self) -> list[int]:
        return [
            pid for pids in (self.old, self.new) for pid, is_ready in pids.items() if not is_ready
        ]

    @property
    def over(self) -> bool:
        return self.rollout.state in FINAL

    # --- what supervisord and Gunicorn do -------------------------------------------------------

    def _settled(self) -> list[str]:
        did: list[str] = []
        while self.queue:
            event = self.queue.pop(0)
            if not self.over:
                twin = from_json(json.loads(json.dumps(to_json(self.rollout), default=vars)))
                actions = self.rollout.handle(event, self.now)
                assert twin.handle(event, self.now) == actions, "a thawed rollout acts otherwise"
                did += self._after(actions)
        return did

    def _after(self, actions: list[Action]) -> list[str]:
        did = []
        for action in actions:
            if isinstance(action, Facts):
                self.tells.append(action)
                continue
            if isinstance(action, ev.Look):
                pids = self.new if action.whose is Whose.SUCCESSOR else self.old
                self.queue.append(ev.Observed(tuple(map(_id, pids)), action.whose))
                continue
            word = _WORDS[type(action)](action)
            did.append(word)
            self.moves.append(word)
            if self.obey:
                self._act(action)
        self._check()
        return did + self._settled()

    def _act(self, action: Action) -> None:
        if isinstance(action, ev.StartSuccessor):
            self.alive[True] = True
            self.wanted[True] = self.rollout.first
            self.queue.append(ev.SuccessorStarted(NEW))
            for _ in range(self.rollout.first):
                self._fork(successor=True)
        elif isinstance(action, ev.Promote):
            self.queue.append(ev.Promoted())
        elif isinstance(action, ev.Discard):
            self.alive[True] = False
            self.new.clear()
            self.queue.append(ev.ArbiterExited("stopped", Whose.SUCCESSOR))
        elif isinstance(action, ev.AddInstance):
            successor = action.whose is Whose.SUCCESSOR
            self.wanted[successor] += 1
            self.queue.append(ev.Counted(self.wanted[successor], action.whose))
            self._fork(successor)
        elif isinstance(action, ev.RemoveOldest):
            successor = action.whose is Whose.SUCCESSOR
            self.wanted[successor] -= 1
            self.queue.append(ev.Counted(self.wanted[successor], action.whose))
            pids = self.new if successor else self.old
            oldest = min(pids)
            del pids[oldest]
            self.queue.append(ev.Exited(_id(oldest)))

        elif isinstance(action, ev.StopInstance | ev.KillInstance):
            # Born of TTIN, and never ready: its arbiter does not replace it.
            pid = action.instance.pid
            if self.new.pop(pid, None) is not None and pid > 200 + self.rollout.first:
                self.wanted[True] -= 1
                self.queue += [
                    ev.Exited(action.instance),
                    ev.Counted(self.wanted[True], Whose.SUCCESSOR),
                ]
            else:
                successor = pid >= 200
                self.old.pop(pid, None)
                self.queue.append(ev.Exited(action.instance))
                if len(self.new if successor else self.old) < self.wanted[successor]:
                    self._fork(successor)

    def _fork(self, successor: bool) -> None:
        pid = self._next[successor]
        self._next[successor] += 1
        (self.new if successor else self.old)[pid] = False
        age = pid - 200 if successor else pid
        # One that is born of TTIN is not replaced, as long as it is not ready.
        surplus = successor and pid > 200 + self.rollout.first
        self.queue.append(ev.Started(_id(pid), age, surplus, fresh=successor))

    def _check(self) -> None:
        if self.rollout.promoted or not self.alive[False]:
            return
        ready = sum(self.old.values()) + sum(self.new.values())
        assert ready >= self.floor, f"{ready} ready, {self.floor} promised: {self.moves}"
        most = max(self.rollout.desired, self.rollout.goal) + max(self.rollout.budget.surge, 1)
        assert len(self.old) + len(self.new) <= most, f"more than {most} run: {self.moves}"


def _id(pid: int) -> InstanceId:
    return InstanceId(pid, pid)


_WORDS: dict[type, Callable[..., str]] = {
    ev.StartSuccessor: lambda _: "start",
    ev.Promote: lambda _: "promote",
    ev.Discard: lambda _: "discard",
    ev.AddInstance: lambda action: "grow" if action.whose is Whose.SUCCESSOR else "old grows",
    ev.RemoveOldest: lambda action: "new shrinks" if action.whose is Whose.SUCCESSOR else "shrink",
    ev.StopInstance: lambda action: f"TERM {action.instance.pid}",
    ev.DumpInstance: lambda action: f"ABRT {action.instance.pid}",
    ev.KillInstance: lambda action: f"KILL {action.instance.pid}",
}
