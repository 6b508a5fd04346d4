"""A fake process table: who is whose child, who is watched, and the signals that are sent
without supervisord. See fakes/site.py."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from signal import Signals
from typing import TYPE_CHECKING, Any

from supervisor_roll.listener.edges.executed import Executed
from supervisor_roll.listener.edges.memory import Room
from supervisor_roll.listener.edges.process_limits import Left
from supervisor_roll.listener.edges.process_table import Child
from supervisor_roll.listener.edges.socket_store import StoredSocket
from supervisor_roll.listener.side_processes.process import Result
from supervisor_roll.rollout.events import InstanceId

if TYPE_CHECKING:
    from tests.fakes.site import Site

TICKS = 1000  # in each second


@dataclass
class Process:
    id: InstanceId
    parent: int
    command_line: str
    marked: bool | None = False


class FakeTable:
    """``worker_bytes`` is what each worker is measured to take: with 0 nothing can be said.
    ``room_bytes`` are left whatever runs, or what the workers leave of ``total_bytes``.

    ``forbidden``: the listener may not signal others' processes; ``untraceable``: nor take
    sockets from them. A look at the children of one that is ``odd`` fails, as nobody foresees it.
    """

    odd = 0

    def __init__(self, site: Site) -> None:
        self._site = site
        self.processes: dict[int, Process] = {}
        self.watched: set[InstanceId] = set()
        self.forbidden = self.untraceable = False
        self.uids: dict[int, int] = {}
        self.worker_bytes = 0
        self.ends: dict[int, str] = {}  # how it has ended, by pid
        self.own: dict[int, int] = {}  # by pid
        self.environment: dict[str, str] | None = None
        self.shares_memory = True
        self.room_bytes = self.total_bytes = self.looks_for_room = 0
        self.computed_secs, self.number_of_cores = 0.0, 64
        self.left: Left | None = None

    def identity(self, pid: int) -> InstanceId | None:
        process = self.processes.get(pid)
        return process and process.id

    def child(self, pid: int) -> Child | None:
        process = self.processes.get(pid)
        parent = self.identity(process.parent) if process else None
        return Child(process.id, parent) if process and parent else None

    def children(self, instance: InstanceId) -> list[InstanceId]:
        if instance.pid == self.odd:
            raise OverflowError("its children cannot be looked at")
        return [one.id for one in self.processes.values() if one.parent == instance.pid]

    def alive(self, instance: InstanceId) -> bool:
        return self.identity(instance.pid) == instance

    def cpu_secs(self, instance: InstanceId) -> float:
        return self.computed_secs if self.alive(instance) else 0.0

    def cores(self, pid: int) -> int:
        return self.number_of_cores

    def uid(self, instance: InstanceId) -> int | None:
        return self.uids.get(instance.pid, 0) if self.alive(instance) else None

    def age_secs(self, instance: InstanceId) -> float:
        return self._site.now - instance.started / TICKS

    def descendants(self, instance: InstanceId) -> dict[int, int]:
        parents = {instance.pid: 0}
        for one in sorted(self.processes.values(), key=lambda one: one.id.started):
            if one.parent in parents:
                parents[one.id.pid] = one.parent
        del parents[instance.pid]
        return parents

    def executed(self, pid: int) -> Executed:
        """What the command line says; a title is one word."""
        process = self.processes.get(pid)
        line = process.command_line if process else ""
        words = [line] if line.startswith("gunicorn: ") else line.split()
        return Executed(words[0] if words else "", words, self.environment, self.shares_memory, 60)

    def is_marked(self, pid: int) -> bool | None:
        process = self.processes.get(pid)
        return process is not None and process.marked

    def watch(self, instance: InstanceId) -> bool:
        if self.alive(instance):
            self.watched.add(instance)
        return self.alive(instance)

    def unwatch(self, instance: InstanceId) -> None:
        self.watched.discard(instance)

    def how_ended(self, instance: InstanceId) -> str:
        return self.ends.get(instance.pid, "")

    def send(self, instance: InstanceId, signum: Signals) -> None:
        if self.forbidden:
            raise PermissionError
        self._site.point(
            f"{signum.name} {instance.pid}",
            lambda: self.alive(instance) and self._site.struck(instance.pid, signum),
        )

    def looking_as(self, instances: Iterable[InstanceId]) -> AbstractContextManager[None]:
        return nullcontext()

    def measured(self, pids: Iterable[int]) -> list[int]:
        return [self.worker_bytes for _ in pids if self.worker_bytes]

    def own_bytes(self, pid: int) -> int:
        return self.own.get(pid, 0)

    def threads(self, pid: int) -> int:
        return 2

    def processes_left(self, pid: int) -> Left | None:
        return self.left

    def room(self, pid: int) -> Room:
        self.looks_for_room += 1
        workers = sum(len(one.workers) for one in self._site.programs.values())
        taken = self.worker_bytes * workers if self.total_bytes else 0
        return Room(max(self.room_bytes, self.total_bytes - taken), "this site")

    def has_sockets(self, instance: InstanceId, fds: Iterable[int]) -> bool:
        """Of the kernel's sockets there is one for each descriptor of the fake program."""
        theirs = {
            os.fstat(fd).st_ino
            for program in self._site.programs.values()
            if program.id == instance
            for fd in program.sockets.values()
        }
        return all(os.fstat(fd).st_ino in theirs for fd in fds)

    def sockets(
        self, instance: InstanceId, sockets: Iterable[tuple[str, int]]
    ) -> list[StoredSocket]:
        """What a fake process has open is open in this process, under the same number."""
        if self.untraceable:
            raise PermissionError("Operation not permitted")
        return [StoredSocket(address, os.dup(number)) for address, number in sockets]


class FakeSides:
    """What runs beside: ``commands``, which end at once, with this ``result``."""

    def __init__(self) -> None:
        self._ended: list[tuple[str, Any]] = []
        self.commands: list[tuple[Any, ...]] = []
        self.result = Result(True, 0.1, "")
        self.refuses: Exception | None = None

    def command(self, namespec: str, *about: Any) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.commands.append(about)
        self._ended.append((namespec, self.result))

    running = False

    def drop(self, namespec: str) -> None:
        pass

    def poll(self) -> list[tuple[str, Any]]:
        ended, self._ended = self._ended, []
        return ended

    def next_deadline(self) -> float | None:
        return None
