"""A model of Gunicorn's arbiter with our hooks in it, for machine-against-machine tests.

It executes the rollout machine's actions and yields the events that the listener would give
the machine. It is pure and does nothing by itself: a test says when a worker loads, becomes
ready, drains or dies, when the arbiter gets to its signals, and when a message arrives.

What it models, by Gunicorn's source and by supervisor_roll.hooks.arbiter.worker_count:

- TTIN wants one worker more, which is forked although a drained one is still counted;
  TTOU wants one fewer (never below 1) and TERMs the oldest; a worker that dies is replaced
  while fewer live than are wanted.
- A worker born of TTIN is surplus: if it exits, one fewer is wanted instead. A TTOU settles
  one of the surplus ones, a ready one before others, then the oldest.
- HUP wants the configured number, forks that many, and TERMs all older ones.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import Action, Event, InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.reports import Facts

BOOTING, LOADED, READY, UNREADY = "booting", "loaded", "ready", "unready"


@dataclass
class Worker:
    """One worker as it really is, whatever anybody was told of it."""

    id: InstanceId
    age: int
    surplus: bool = False
    stage: str = BOOTING
    draining: bool = False

    @property
    def serves(self) -> bool:
        return self.stage == READY and not self.draining


class Arbiter:
    """The arbiter. ``inbox`` holds what the machine has not been told yet, oldest first."""

    def __init__(self, count: int) -> None:
        self.configured = self.num_workers = count
        self.workers: dict[InstanceId, Worker] = {}
        self.signals: deque[str] = deque()
        self.inbox: deque[Event | ev.Look] = deque()
        self.lose_next_signal = False
        self.lost: list[str] = []
        self._surplus_births = 0
        self._ages = 0
        self._manage()
        for worker in self.workers.values():
            worker.stage = READY
        self.inbox.clear()

    def snapshot(self) -> list[Instance]:
        """The workers as a rollout that begins at time 0 sees them."""
        return [
            Instance(
                one.id,
                one.age,
                fresh=False,
                since=0.0,
                loaded=one.stage != BOOTING,
                ready_since=0.0 if one.stage == READY else None,
            )
            for one in self.workers.values()
            if not one.draining
        ]

    @property
    def by_age(self) -> list[Worker]:
        return sorted(self.workers.values(), key=lambda one: one.age)

    def aged(self, age: int) -> Worker:
        """The living worker of that age."""
        return next(one for one in self.workers.values() if one.age == age)

    @property
    def serving(self) -> list[Worker]:
        return [one for one in self.workers.values() if one.serves]

    @property
    def staying(self) -> list[Worker]:
        return [one for one in self.workers.values() if not one.draining]

    # --- what the machine wants done -----------------------------------------------------

    def execute(self, action: Action) -> None:
        """Carry out an action. Signals to the arbiter wait in ``signals``."""
        if isinstance(action, ev.AddInstance | ev.RemoveOldest):
            signal = "TTIN" if isinstance(action, ev.AddInstance) else "TTOU"
            if self.lose_next_signal:
                self.lose_next_signal = False
                self.lost.append(signal)
            else:
                self.signals.append(signal)
        elif isinstance(action, ev.Look):
            self.inbox.append(action)  # the listener reads what was said before it looks
        elif isinstance(action, ev.StopInstance):
            if action.instance in self.workers:
                self.workers[action.instance].draining = True
        elif isinstance(action, ev.DumpInstance | ev.KillInstance):
            if action.instance in self.workers:
                self.exit(self.workers[action.instance], type(action).__name__)
        else:
            assert isinstance(action, Facts), action

    def handle_signal(self) -> None:
        """Handle the oldest waiting signal, if there is one."""
        if not self.signals:
            return
        signal = self.signals.popleft()
        if signal == "TTIN":
            self._surplus_births += 1
            self._want(self.num_workers + 1)
            if len(self.workers) >= self.num_workers:
                self._fork()
        elif signal == "TTOU" and self.num_workers > 1:
            self._settle()
            self._want(self.num_workers - 1)
        elif signal == "HUP":
            if self.configured < self.num_workers:
                self._settle()
            if self.configured != self.num_workers:
                self._want(self.configured)
            for _ in range(self.configured):
                self._fork()
        self._manage()

    def shown(self) -> ev.Observed:
        """What the process table shows."""
        return ev.Observed(tuple(self.workers))

    # --- what happens to workers ---------------------------------------------------------

    def load(self, worker: Worker) -> None:
        if worker.stage == BOOTING:
            worker.stage = LOADED
            self.inbox.append(ev.Loaded(worker.id))

    def become_ready(self, worker: Worker) -> None:
        """The worker serves. One that drains announces nothing."""
        if not worker.draining:
            worker.stage = READY
            self.inbox.append(ev.BecameReady(worker.id, 1.5))

    def become_unready(self, worker: Worker, why: str = "503") -> None:
        if not worker.draining:
            worker.stage = UNREADY
            self.inbox.append(ev.BecameUnready(worker.id, why))

    def fail_to_boot(self, worker: Worker, why: str) -> None:
        """The hook's guard says what went wrong, and parks the worker before it leaves."""
        self.inbox.append(ev.BootFailed(worker.id, why))

    def exit(self, worker: Worker, why: str = "") -> None:
        """The worker is gone, is reaped, and is replaced if the arbiter wants it so."""
        del self.workers[worker.id]
        self.inbox.append(ev.Exited(worker.id, why))
        if worker.surplus and self.num_workers > 1:
            self._want(self.num_workers - 1)
        self._manage()

    # --- Gunicorn ------------------------------------------------------------------------

    def _want(self, count: int) -> None:
        self.num_workers = count
        self.inbox.append(ev.Counted(count))

    def _manage(self) -> None:
        while len(self.workers) < self.num_workers:
            self._fork()
        for worker in self.by_age[: len(self.workers) - self.num_workers]:
            worker.draining = True

    def _fork(self) -> None:
        self._ages += 1
        surplus = self._surplus_births > 0
        if surplus:
            self._surplus_births -= 1
        worker = Worker(InstanceId(1000 + self._ages, self._ages), self._ages, surplus)
        self.workers[worker.id] = worker
        self.inbox.append(ev.Started(worker.id, worker.age, surplus))

    def _settle(self) -> None:
        surplus = [one for one in self.workers.values() if one.surplus]
        if surplus:
            min(surplus, key=lambda one: (one.stage != READY, one.age)).surplus = False
