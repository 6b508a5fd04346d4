"""Gunicorn's arbiter with our hooks in it, for machine-against-machine tests.

It executes the rollout machine's actions and yields the events that the listener would give
the machine. It does nothing by itself: a test says when a worker loads, becomes ready, drains
or dies, when the arbiter gets to its signals, and when a message arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from supervisor_roll.hooks.shared_memory import page_of
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import Action, Event, InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.reports import Facts
from tests.fakes.gunicorn import FakeArbiter, FakeWorker

BOOTING, LOADED, READY, UNREADY = "booting", "loaded", "ready", "unready"


class Worker(FakeWorker):
    """One worker as it really is, whatever anybody was told of it."""

    def __init__(self, age: int) -> None:
        super().__init__(age)
        self.id = InstanceId(1000 + age, age)
        self._stage = BOOTING
        self.stubborn = False  # it heeds neither ABRT nor KILL

    @property
    def stage(self) -> str:
        return self._stage

    @stage.setter
    def stage(self, stage: str) -> None:
        self._stage = stage
        if stage == READY:
            self.ready = True

    @property
    def serves(self) -> bool:
        return self.stage == READY and not self.draining


class Arbiter(FakeArbiter):
    """``inbox`` holds what the machine has not been told yet, oldest first."""

    make_worker = Worker

    def __init__(self, count: int, cpu_secs: float = 0.0) -> None:
        self.cpu_secs = cpu_secs  # of a boot of 1.5 s
        self.signals: deque[str] = deque()
        self.inbox: deque[Event | ev.Look] = deque()
        self.lose_next_signal = False
        self.lost: list[str] = []
        super().__init__(count)
        for worker in self.workers.values():
            worker.stage = READY
        self.inbox.clear()

    @property
    def workers(self) -> dict[InstanceId, Worker]:
        return {one.id: one for one in self.by_age}

    def snapshot(self, recycled: Collection[int] = ()) -> list[Instance]:
        """The workers as a rollout that begins at time 0 sees them.

        ``recycled`` are the ages of those that are to be replaced, if not all are.
        """
        for age in recycled:
            page = page_of(self.aged(age))
            page.retire_age = age - 1_000_000
        kept = [bool(recycled) and one.born not in recycled for one in self.staying]
        found = [
            Instance(
                one.id,
                one.said_age,
                fresh=False,
                since=0.0,
                loaded=one.stage != BOOTING,
                ready_since=0.0 if one.stage == READY else None,
            )
            for one in self.staying
        ]
        for one, is_kept in zip(found, kept, strict=True):
            one.keep(is_kept)
        return found

    @property
    def serving(self) -> list[Worker]:
        return [one for one in self.by_age if one.serves]

    @property
    def staying(self) -> list[Worker]:
        return [one for one in self.by_age if not one.draining]

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
            worker = self.workers.get(action.instance)
            if worker is not None and not worker.stubborn:
                self.exit(worker, type(action).__name__)
        else:
            assert isinstance(action, Facts), action

    def handle_signal(self) -> None:
        """Handle the oldest waiting signal, if there is one."""
        if self.signals:
            getattr(self, self.signals.popleft().lower())()

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
            self.inbox.append(ev.BecameReady(worker.id, 1.5, cpu_secs=self.cpu_secs))

    def become_unready(self, worker: Worker, why: str = "503") -> None:
        if not worker.draining:
            worker.stage = UNREADY
            self.inbox.append(ev.BecameUnready(worker.id, why))

    def fail_to_boot(self, worker: Worker, why: str) -> None:
        """The hook's guard says what went wrong, and parks the worker before it leaves."""
        self.inbox.append(ev.BootFailed(worker.id, why))

    def exit(self, worker: Worker, why: str = "") -> None:
        """The worker is gone, is reaped, and is replaced if the arbiter wants it so."""
        self.inbox.append(ev.Exited(worker.id, why))
        self.reap(worker)

    # --- what the listener hears of it ------------------------------------------------------

    def spawn_worker(self) -> None:
        super().spawn_worker()
        worker = self.by_age[-1]
        self.inbox.append(ev.Started(worker.id, worker.said_age, worker.surplus))

    def counted(self) -> None:
        self.inbox.append(ev.Counted(self.num_workers))
