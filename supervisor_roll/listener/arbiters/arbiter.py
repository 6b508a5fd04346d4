"""One arbiter and its workers, as they have described themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.wire.codec import from_data
from supervisor_roll.wire.gunicorn_facts import GunicornFacts
from supervisor_roll.wire.messages import (
    Aborting,
    BackingOff,
    Counting,
    Describing,
    Failed,
    FromWorker,
    Loaded,
    Ready,
    Unready,
)

# Of each worker it is saved each time, and a line as a rule.
MAX_TEXT = 300
# A worker takes an age to be retired by within 5 s, or never, and says it back.
OFFERED_SECS = 10.0
# What is known of so many has room to be saved; no Gunicorn that means well has more.
MAX_WORKERS = 2000


def cut(text: str, most: int = MAX_TEXT) -> str:
    """Cut a text to what has room as JSON, where one character may take 12."""
    text = text[:most]
    while len(json.dumps(text)) > most + len('""'):
        text = text[: len(text) * 3 // 4]
    return text


@dataclass
class Worker:
    """One worker, as its own messages describe it."""

    id: InstanceId
    age: int
    loaded: bool = False
    ready: bool = False
    unhealthy: bool = False  # it serves, or would, but its health check fails
    boot_secs: float = 0.0
    health: str = ""
    release: str = ""
    held_back: bool = False  # it is kept from serving, since a rollout began with it
    heard: bool = True  # False: only the process table shows it
    failed: str = ""  # why it is no good, if so
    leaving: str = ""  # why it is about to leave, as far as it said
    uid: int = -1  # whom it said that as; -1: not known
    due: str = ""  # why it is to be replaced, as far as it is past a limit
    over: float = 0.0  # how many times its limit it has reached
    offered: int = 0  # the age that it was given to be retired by, and when on the clock
    offered_at: float = 0.0

    @property
    def is_next(self) -> bool:
        """It is among the next that its arbiter retires: it says the age that it was given."""
        return self.offered != 0 and self.age == self.offered

    def is_undecided(self, now: float) -> bool:
        """Whether it may become so at any moment."""
        return self.offered not in (0, self.age) and now < self.offered_at + OFFERED_SECS

    @property
    def serves_unhealthy(self) -> bool:
        """It fails its health check, and serves all the same: no rollout keeps it from that."""
        return (
            self.unhealthy
            and self.loaded
            and bool(self.health)
            and not (self.held_back or self.leaving)
        )


@dataclass
class Arbiter:
    """One arbiter and its workers. ``facts`` are what its workers said last of it."""

    id: InstanceId
    namespec: str
    count: int = 0
    changes: int = -1
    facts: GunicornFacts = field(default_factory=GunicornFacts)
    successor: bool = False  # it runs beside the one that has the program's name
    stopping: bool = False  # it has stopped serving, and is about to end
    sockets: list[tuple[str, int]] = field(default_factory=list)  # address, its descriptor
    boot_failure: str = ""  # why boots have failed since a worker was last ready
    workers: dict[InstanceId, Worker] = field(default_factory=dict)

    def heard_count(self, message: Counting, own: bool = False) -> bool:
        """Take note of the wanted count, if it is news. Whether it was.

        ``own``: the arbiter itself says so, and what it says comes in order.
        """
        changes, count = message.changes, message.workers
        if count is None:
            return False
        if (changes, count) == (self.changes, self.count) or (changes < self.changes and not own):
            return False
        if not 0 <= count <= MAX_WORKERS:
            raise BadMessage(f"{message.kind}: WORKERS={count}: not from 0 to {MAX_WORKERS}")
        self.changes, self.count = changes, count
        return True

    def heard_worker(self, worker: InstanceId, message: FromWorker) -> Worker:
        """Take note of what a worker says of itself. Raises BadMessage."""
        age = message.age
        if age is None:
            raise BadMessage(f"{message.kind}: AGE is missing")
        if worker not in self.workers and len(self.workers) >= MAX_WORKERS:
            raise BadMessage(f"{message.kind}: it has {MAX_WORKERS} workers already")
        known = self.workers.setdefault(worker, Worker(worker, age))
        known.age, known.heard = age, True
        known.loaded = known.loaded or isinstance(message, (Loaded, Ready, Unready))
        if isinstance(message, Ready):
            known.ready, known.boot_secs = True, max(0.0, message.boot_secs)
            known.health = cut(message.status or "")
        elif isinstance(message, Unready):
            known.ready = False
            known.health = cut(message.status)
        elif isinstance(message, Aborting):
            known.leaving = (
                "it was sent ABRT, as Gunicorn does when a worker shows no sign of "
                "life for timeout seconds; a sync worker's log shows where it hung"
            )
        elif isinstance(message, Failed):
            known.failed = cut(message.error or "its boot failed")
        # One that waits after failed boots, or is about to leave after its own, decides nothing.
        if isinstance(message, (Unready, Failed, BackingOff)):
            known.unhealthy = True
        elif isinstance(message, Ready):
            known.unhealthy, self.boot_failure = False, ""
        if isinstance(message, Describing):
            self.facts = GunicornFacts.told(message)
        return known

    def outdated(self, now: float, age_secs: Callable[[InstanceId], float]) -> list[Instance]:
        """Return the workers known now, as the snapshot that a rollout begins with."""
        return [
            Instance(
                one.id,
                one.age,
                fresh=False,
                since=now - age_secs(one.id),
                loaded=one.loaded,
                ready_since=now if one.ready else None,
                boot_secs=one.boot_secs,
                health=one.health,
            )
            for one in self.workers.values()
            if one.heard
        ]

    def next_of(self, workers: Collection[InstanceId]) -> list[Worker]:
        """Return those of these workers that it retires next, and those it would retire before."""
        order = sorted(
            (one for one in self.workers.values() if one.is_next), key=lambda one: one.age
        )
        last = max((at for at, one in enumerate(order) if one.id in workers), default=-1)
        return order[: last + 1]

    @property
    def heard(self) -> int:
        """How many of its workers have said something."""
        return sum(one.heard for one in self.workers.values())

    @property
    def ready(self) -> int:
        return sum(one.ready for one in self.workers.values())

    @property
    def undecided(self) -> list[InstanceId]:
        """The workers that have said neither ready nor unready, so far as heard."""
        return [one.id for one in self.workers.values() if not (one.ready or one.unhealthy)]

    def to_data(self) -> dict[str, Any]:
        """Return what is saved of it, for ``wire.codec``: JSON has no ids for keys."""
        return {**vars(self), "workers": list(self.workers.values())}

    @classmethod
    def from_data(cls, saved: dict[str, Any]) -> Arbiter:
        """Build it from what was saved. Raises BadMessage."""
        arbiter = from_data(cls, {**saved, "workers": {}})
        workers = from_data(list[Worker], saved.get("workers", []))
        arbiter.workers = {one.id: one for one in workers}
        return arbiter
