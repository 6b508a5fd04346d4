"""What the machine knows of each instance: what it observed of it, and what it wants of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from supervisor_roll.rollout.events import (
    DumpInstance,
    InstanceId,
    KillInstance,
)
from supervisor_roll.rollout.timing import STOP_GRACE_SECS

RETIRE = "retire"  # an outdated instance was asked to go
STOP = "stop"  # a fresh instance was asked to go, because the rollout ends without it
# A message comes late by seconds, and workers may exit again and again.
MAX_GONE = 1000


@dataclass
class Instance:
    """One instance: observed are all fields down to ``health``, wanted are the others.

    ``kept`` is one that ran before but is not to be replaced: it counts as fresh, and nothing that
    becomes of it tells of the release. One that is not
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
    wanted_gone: str = ""
    asked_at: float = 0.0
    escalations: int = 0

    @property
    def ready(self) -> bool:
        return self.ready_since is not None

    def keep(self, kept: bool) -> None:
        """Say, before the rollout begins, whether it is to stay."""
        self.kept = self.fresh = kept
        self.available = kept and self.ready

    @property
    def can_go(self) -> bool:
        """It may be asked to leave: it hears signals, or is not waited for any longer."""
        return self.loaded or self.hangs

    @property
    def drains(self) -> bool:
        """It was asked to go, and may have requests to finish first."""
        return (self.wanted_gone == RETIRE and not self.hangs) or self.ready or not self.heard

    def patience_secs(self, drain_timeout_secs: float) -> float:
        """How long it has to leave before it is asked harder."""
        return drain_timeout_secs if self.drains else STOP_GRACE_SECS

    @property
    def harder(self) -> list[DumpInstance | KillInstance]:
        """What is left to make it go, if it stays: for one that may hang, to show where first."""
        steps: list[DumpInstance | KillInstance] = [KillInstance(self.id)]
        if self.drains:
            steps.insert(0, DumpInstance(self.id))
        return steps[self.escalations :]

    def given_up_at(self, drain_timeout_secs: float) -> float:
        """When, if it was asked to go and is there still, not even KILL has helped."""
        return self.asked_at + drain_timeout_secs + 2 * STOP_GRACE_SECS


@dataclass
class Instances:
    """The instances of one rollout, with the views that its rules speak of; oldest first.

    ``members`` are kept in that order, since much more is read of them than changes.
    """

    members: list[Instance]
    gone: list[InstanceId] = field(default_factory=list)  # what is said of them comes late

    def __post_init__(self) -> None:
        self._sort()

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.members)

    def add(self, instance: Instance) -> Instance:
        self.members.append(instance)
        self._sort()
        return instance

    def aged(self, instance: Instance, age: int) -> None:
        """Set the age that it turns out to have."""
        instance.age = age
        self._sort()

    def _sort(self) -> None:
        self.members.sort(key=lambda one: (one.age, one.id))

    def get(self, instance: InstanceId | None) -> Instance | None:
        return next((one for one in self.members if one.id == instance), None)

    def known(self, instance: InstanceId, now: float) -> Instance:
        """Return the one that a message is of; its birth may not have been reported."""
        found = self.get(instance)
        if found is None:
            found = self.add(Instance(instance, age=0, fresh=True, since=now))
        found.heard = True
        return found

    def exited(self, instance: InstanceId) -> Instance | None:
        self.gone.append(instance)
        del self.gone[:-MAX_GONE]
        found = self.get(instance)
        if found is not None:
            self.members.remove(found)
        return found

    def observed(
        self, workers: tuple[InstanceId, ...], fresh: bool, surplus: int, now: float
    ) -> int:
        """Take note of workers that have said nothing yet; how many were not asked to go.

        As many as ``surplus`` of them their arbiter will not replace.
        """
        youngest = max((one.age for one in self.members), default=0)
        for worker in workers:
            if worker not in self.gone and self.get(worker) is None:
                youngest += 1
                self.add(Instance(worker, youngest, fresh, now, surplus=surplus > 0, heard=False))
                surplus -= 1
        return len(set(workers) - {one.id for one in self.leaving})

    @property
    def up(self) -> list[Instance]:
        """Those nobody asked to go."""
        return [one for one in self.members if not one.wanted_gone]

    @property
    def leaving(self) -> list[Instance]:
        return [one for one in self.members if one.wanted_gone]

    @property
    def outdated(self) -> list[Instance]:
        return [one for one in self.members if not (one.wanted_gone or one.fresh)]

    @property
    def fresh(self) -> list[Instance]:
        return [one for one in self.members if one.fresh and not one.wanted_gone]

    @property
    def ready(self) -> list[Instance]:
        return [one for one in self.members if one.ready_since is not None and not one.wanted_gone]

    @property
    def counted(self) -> list[Instance]:
        """Those that a decision may rest on: ready outdated ones and available fresh ones."""
        return [one for one in self.ready if one.available or not one.fresh]
