"""A rollout played against the arbiter model, with the invariant asserted after each step."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from supervisor_roll.listener.rollouts.saved_rollout import from_json, to_json
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import Action, Event, InstanceId
from supervisor_roll.rollout.instances import RETIRE
from supervisor_roll.rollout.reports import Facts, Outcome
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, FINAL
from supervisor_roll.rollout.worker_rollout import WorkerRollout
from tests.rollout.arbiter_model import BOOTING, LOADED, Arbiter, Worker

MAX_ROUNDS = 400


class History:
    """One rollout of one arbiter. Workers are named by their ages: 1, 2, ... are outdated, or of
    these the ``recycled``, if it is a recycling.

    The arbiter gets to its signals and the machine to its messages at once, unless
    ``at_once`` is False: then a test says when, by ``handle_signal`` and ``deliver``.
    """

    def __init__(
        self,
        workers: int = 4,
        stages: dict[int, str] | None = None,
        at_once: bool = True,
        cores: int = 0,
        cpu_secs: float = 0.0,
        recycled: Collection[int] = (),
        **values: str,
    ) -> None:
        self.arbiter = Arbiter(workers, cpu_secs)
        for age, stage in (stages or {}).items():
            self.arbiter.aged(age).stage = stage
        settings = Settings.parsed(values)
        settings = settings.for_recycling() if recycled else settings
        snapshot = self.arbiter.snapshot(recycled)
        self.rollout = WorkerRollout.of(settings, snapshot, workers, 0.0, cores=cores)
        self.now = 0.0
        self.at_once = at_once
        self.surprised = False  # whether a worker that served has died or fallen ill by itself
        self.moves: list[str] = []  # what the machine did, in words, since last asked
        self.tells: list[Facts] = []
        self.told: list[Event] = []  # what the machine was told
        self.settled_alike = True  # whether the hook settled the worker that the machine did
        self.steps = 0
        self.deaf = False  # whether all that is said is lost: only ends are seen
        self._guarded: set[InstanceId] = set()
        self._pressed: set[InstanceId] = set()
        self._ages = {one.id: one.born for one in self.arbiter.workers.values()}
        self._initial = dict(self._ages)
        self._to_go = {one.id for one in snapshot if not one.kept}
        self._lost_outdated: set[InstanceId] = set()

    @classmethod
    def begun(cls, *arguments: Any, ready: Iterable[int] = (), **values: Any) -> History:
        history = cls(*arguments, **values)
        history.begin()
        history.ready(*ready)
        return history

    # --- what a script says: each answers with what the machine did about it, in words ------

    def begin(self) -> list[str]:
        twin = self._twin()
        actions = self.rollout.begin()
        assert twin.begin() == actions
        self._after(actions, set())
        return self._settled()

    def load(self, age: int) -> list[str]:
        self.arbiter.load(self.arbiter.aged(age))
        return self._settled()

    def ready(self, *ages: int) -> list[str]:
        for age in ages:
            self.arbiter.load(self.arbiter.aged(age))
            self.arbiter.become_ready(self.arbiter.aged(age))
        return self._settled()

    def fail_to_boot(self, age: int, why: str) -> list[str]:
        self.arbiter.fail_to_boot(self.arbiter.aged(age), why)
        return self._settled()

    def unready(self, age: int, why: str = "503") -> list[str]:
        worker = self.arbiter.aged(age)
        self.surprised |= worker.serves
        self.arbiter.load(worker)
        self.arbiter.become_unready(worker, why)
        return self._settled()

    def exit(self, age: int, why: str = "") -> list[str]:
        worker = self.arbiter.aged(age)
        if not worker.draining:
            self.surprised = True
            self._lost_outdated.add(worker.id)
        self.arbiter.exit(worker, why)
        return self._settled()

    def hup(self) -> list[str]:
        self.surprised = True
        self.arbiter.signals.append("HUP")
        return self._settled()

    def abort(self, by: str = "somebody") -> list[str]:
        self.tell(ev.Aborted(by))
        return self._settled()

    def wait(self, secs: float) -> list[str]:
        """``secs`` pass, and the machine is told so at the end only."""
        self.now += secs
        self.tell(ev.TimePassed())
        return self._settled()

    def wait_until(self, when: float) -> list[str]:
        assert self.rollout.next_deadline == when, self.rollout.next_deadline
        return self.wait(when - self.now)

    # --- the wires between the two machines ------------------------------------------------

    def handle_signal(self) -> None:
        retires = list(self.arbiter.signals)[:1] == ["TTOU"]
        self.arbiter.handle_signal()
        if retires:
            both = [
                (one.surplus, self.arbiter.workers[one.id].surplus)
                for one in self.rollout.instances
                if one.id in self.arbiter.workers
            ]
            self.settled_alike &= all(mine == theirs for mine, theirs in both)
        self._check_arbiter()

    def deliver(self) -> None:
        """Tell the machine the oldest thing that it does not know yet."""
        if self.arbiter.inbox:
            event = self.arbiter.inbox.popleft()
            if isinstance(event, ev.Look):
                self._ages.update({one.id: one.born for one in self.arbiter.workers.values()})
                self.tell(self.arbiter.shown())
            elif not self.deaf or isinstance(event, ev.Exited):
                self.tell(event)

    def tell(self, event: Event) -> None:
        """Tell the machine, check what must hold, and carry out what it says."""
        if self.rollout.state in FINAL:
            return
        if isinstance(event, ev.Started):
            self._ages.setdefault(event.instance, event.age)
        twin = self._twin() if self.at_once or self.steps % 4 == 0 else None
        asked = {one.id for one in self.rollout.instances.leaving}
        actions = self.rollout.handle(event, self.now)
        if twin is not None:
            assert twin.handle(event, self.now) == actions, "a thawed rollout acts otherwise"
            assert _plain(twin) == _plain(self.rollout)
        self.told.append(event)
        self._after(actions, asked)

    def finish(self, good: bool = True, stubborn: Iterable[InstanceId] = ()) -> None:
        """All goes on by itself until the rollout has ended: boots, drains, and time.

        With a release that is not ``good`` each worker that boots dies instead. Asserts
        that the end comes, and that the machine names a deadline whenever nothing else moves.
        """
        stays = set(stubborn)
        for _ in range(MAX_ROUNDS):
            if self.rollout.state in FINAL:
                break
            if self.arbiter.signals:
                self.handle_signal()
            elif self.arbiter.inbox:
                self.deliver()
            elif not self._work(good, stays):
                due = self.rollout.next_deadline
                assert due is not None, f"deadlock: {to_json(self.rollout)}"
                self.now = max(self.now, due)
                self.tell(ev.TimePassed())
        assert self.rollout.state in FINAL, f"no end in sight: {to_json(self.rollout)}"

    def _work(self, good: bool, stays: set[InstanceId]) -> bool:
        for worker in self.arbiter.by_age:
            if worker.draining and worker.id not in stays:
                self.arbiter.exit(worker)
                return True
            if worker.stage == BOOTING and good:
                self.arbiter.load(worker)
                return True
            if worker.stage == LOADED and good:
                self.arbiter.become_ready(worker)
                return True
            if worker.stage == BOOTING and self._is_fresh(worker):
                self.now += 2.0  # the hooks park a worker that failed for a moment
                if worker.born % 2 and worker.id not in self._guarded:
                    self._guarded.add(worker.id)
                    self.arbiter.fail_to_boot(worker, "ImportError")
                else:
                    self.arbiter.exit(worker, "ImportError")
                return True
        return False

    def _is_fresh(self, worker: Worker) -> bool:
        return worker.id not in self._initial

    def _settled(self) -> list[str]:
        while self.at_once and (self.arbiter.signals or self.arbiter.inbox):
            if self.arbiter.inbox:
                self.deliver()
                if self.rollout.state in FINAL:
                    self.arbiter.inbox.clear()
            else:
                self.handle_signal()
        moves, self.moves = self.moves, []
        return moves

    # --- what must hold after each step ----------------------------------------------------

    def _after(self, actions: list[Action], asked: set[InstanceId]) -> None:
        self.steps += 1
        rollout = self.rollout
        retired = [
            one
            for one in rollout.instances.leaving
            if one.id not in asked and one.wanted_gone == RETIRE
        ]
        assert all(one.can_go for one in retired), "a booting worker was retired"
        if any(one.ready for one in retired):
            assert len(rollout.instances.ready) >= rollout.floor, "too few left ready"
        adding = False
        for action in actions:
            if isinstance(action, Facts):
                self.tells.append(action)
                continue
            if isinstance(action, ev.Look):
                self.arbiter.execute(action)
                continue
            self.moves.append(self._in_words(action))
            if isinstance(action, ev.AddInstance):
                adding = True
            elif isinstance(action, ev.StopInstance):
                assert action.instance not in self._pressed, "stopped twice"
                self._pressed.add(action.instance)
            elif isinstance(action, ev.DumpInstance):
                self._pressed.add(action.instance)
            elif isinstance(action, ev.KillInstance):
                one = rollout.instances.get(action.instance)
                by_ttou = one is not None and one.hangs and one.wanted_gone == RETIRE
                assert by_ttou or action.instance in self._pressed, "killed without being asked"
            self.arbiter.execute(action)
        if adding:
            assert rollout.count < rollout.desired + rollout.budget.surge or (
                not rollout.instances.outdated and rollout.count < rollout.desired
            )
        due = rollout.next_deadline
        assert due is None or due > self.now, "a deadline that has passed would spin"
        ended = [one for one in actions if isinstance(one, Outcome)]
        assert [one.kind for one in ended] == ([rollout.state] if rollout.state in FINAL else [])
        if rollout.state in FINAL:
            assert due is None and rollout.ended == self.now
        self._check_arbiter()

    def _check_arbiter(self) -> None:
        """The invariant itself, of what really runs, as long as nothing but the rollout acts."""
        rollout = self.rollout
        if not self.surprised and rollout.state not in FINAL:
            assert len(self.arbiter.serving) >= rollout.floor, "the invariant: too few ready"
            assert len(self.arbiter.staying) <= rollout.desired + rollout.budget.surge, (
                "the invariant: too many running"
            )
            self._check_boots()

    def _check_boots(self) -> None:
        """A bad release costs one boot, and no more boot at once than are of use."""
        rollout = self.rollout
        booting = [one for one in self.arbiter.staying if self._is_fresh(one) and not one.serves]
        if rollout.budget.surge and rollout.wanted == COMPLETE and not self.arbiter.lost:
            assert len(booting) <= (rollout.most_boots if rollout.proved else 1), "too many boot"

    def check_end(self, state: str = "", count: bool = True, deaths: bool = False) -> None:
        """What must hold of the arbiter once the rollout has ended (in ``state``, where a test
        knows that), and all messages are in."""
        rollout, arbiter = self.rollout, self.arbiter
        assert state in ("", rollout.state), rollout.why
        outdated = [one for one in arbiter.staying if not self._is_fresh(one)]
        if rollout.state == COMPLETE:
            assert not self._to_go & arbiter.workers.keys()
        else:
            assert rollout.state in (FAILED, ABORTED) and rollout.why
        if rollout.state != COMPLETE and rollout.budget.surge and not deaths:
            retired = {one.id for one in rollout.instances if one.wanted_gone == RETIRE}
            kept = {id for id in self._initial if rollout.instances.get(id)} - retired
            assert {one.id for one in outdated} == kept
        if count:
            assert arbiter.num_workers == rollout.desired
            assert rollout.count == rollout.desired

    # --- small things ------------------------------------------------------------------------

    def last(self, kind: str) -> dict[str, object]:
        return next(vars(one) for one in reversed(self.tells) if one.kind == kind)

    def _in_words(self, action: Action) -> str:
        if isinstance(action, ev.AddInstance):
            return "add"
        if isinstance(action, ev.RemoveOldest):
            return "remove oldest"
        assert isinstance(action, ev.StopInstance | ev.DumpInstance | ev.KillInstance)
        verb = type(action).__name__.removesuffix("Instance").lower()
        return f"{verb} {self._ages[action.instance]}"

    def _twin(self) -> WorkerRollout:
        twin = from_json(json.loads(json.dumps(to_json(self.rollout), default=vars)))
        assert twin.next_deadline == self.rollout.next_deadline, "a thawed rollout would oversleep"
        return twin


def _plain(rollout: WorkerRollout) -> object:
    return json.loads(json.dumps(to_json(rollout), default=vars))
