"""What the machine knows of each instance: what it observed of it, and what it wants of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from supervisor_roll.rollout.events import InstanceId

RETIRE = "retire"  # an outdated instance was asked to go
STOP = "stop"  # a fresh instance was asked to go, because the rollout ends without it


@dataclass
class Instance:
    """One instance: observed are all fields down to ``health``, wanted are the ``asked`` ones.

    ``kept`` is one that ran before but is not to be replaced: it counts as fresh. One that is not
    ``heard`` was seen in the process table, and has said nothing yet. An outdated one ``hangs`` if
    it has not loaded its application in time: it serves nobody, and finishes nothing.
    """

    id: InstanceId
    age: int
    fresh: bool
    since: float
    surplus: bool = False
    kept: bool = False
    heard: bool = True
    loaded: bool = False
    hangs: bool = False
    ready_since: float | None = None
    available: bool = False
    boot_secs: float = 0.0
    health: str = ""
    asked: str = ""
    asked_at: float = 0.0
    escalations: int = 0

    @property
    def ready(self) -> bool:
        return self.ready_since is not None

    @property
    def can_go(self) -> bool:
        """It may be asked to leave: it hears signals, or is not waited for any longer."""
        return self.loaded or self.hangs

    @property
    def drains(self) -> bool:
        """It was asked to go, and may have requests to finish first."""
        return (self.asked == RETIRE and not self.hangs) or self.ready or not self.heard


class Instances:
    """The instances of one rollout, by identity, with the views that its rules speak of."""

    def __init__(self, members: Iterable[Instance] = ()) -> None:
        self._by_id = {member.id: member for member in members}

    def __iter__(self) -> Iterator[Instance]:
        return iter(sorted(self._by_id.values(), key=lambda one: (one.age, one.id)))

    def get(self, instance: InstanceId) -> Instance | None:
        return self._by_id.get(instance)

    def add(self, instance: Instance) -> Instance:
        self._by_id[instance.id] = instance
        return instance

    def remove(self, instance: InstanceId) -> Instance | None:
        return self._by_id.pop(instance, None)

    @property
    def up(self) -> list[Instance]:
        """Those nobody asked to go, oldest first."""
        return [one for one in self if not one.asked]

    @property
    def leaving(self) -> list[Instance]:
        return [one for one in self if one.asked]

    @property
    def outdated(self) -> list[Instance]:
        return [one for one in self.up if not one.fresh]

    @property
    def fresh(self) -> list[Instance]:
        return [one for one in self.up if one.fresh]

    @property
    def ready(self) -> list[Instance]:
        return [one for one in self.up if one.ready]

    @property
    def counted(self) -> list[Instance]:
        """Those that a decision may rest on: ready outdated ones and available fresh ones."""
        return [one for one in self.ready if one.available or not one.fresh]
