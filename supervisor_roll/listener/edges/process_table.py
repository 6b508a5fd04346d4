"""The operating system's processes: who is whose child, who has gone, and signals to them.

A process is an InstanceId (pid and start time), never a bare pid.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, BaseSelector

from supervisor_roll.listener.edges import executed, memory, process_limits, socket_store
from supervisor_roll.listener.edges.executed import Executed
from supervisor_roll.listener.edges.memory import Room
from supervisor_roll.listener.edges.process_exit import how_ended
from supervisor_roll.listener.edges.process_limits import Left
from supervisor_roll.listener.edges.process_stat import (
    PROC,
    age_secs,
    all_stats,
    cpu_secs,
    stat_of,
)
from supervisor_roll.listener.edges.process_user import NOBODY, Credentials, looking_as
from supervisor_roll.listener.edges.socket_store import StoredSocket
from supervisor_roll.rollout.events import InstanceId


@dataclass(frozen=True)
class Child:
    """A process and the one that forked it."""

    id: InstanceId
    parent: InstanceId


class ProcessTable:
    """Reads the process table, and watches processes by pidfd, which tells at once when one ends.

    pidfd_open(2) needs Linux 5.3.
    """

    def __init__(self, selector: BaseSelector, proc: Path = PROC) -> None:
        self._selector, self._proc = selector, proc
        self._pidfds: dict[InstanceId, int] = {}

    def identity(self, pid: int) -> InstanceId | None:
        """Return the process that has this pid now; None if there is none, or only a zombie."""
        found = stat_of(pid, self._proc)
        return None if found is None or found.gone else found.id

    def child(self, pid: int) -> Child | None:
        """Return the process and its parent; None if either has gone."""
        found = stat_of(pid, self._proc)
        parent = self.identity(found.parent) if found is not None else None
        return Child(found.id, parent) if found is not None and parent is not None else None

    def children(self, instance: InstanceId) -> list[InstanceId]:
        """Its children now."""
        found = [
            one.id for one in all_stats(self._proc) if one.parent == instance.pid and not one.gone
        ]
        return found if self.alive(instance) else []

    def alive(self, instance: InstanceId) -> bool:
        return self.identity(instance.pid) == instance

    def age_secs(self, instance: InstanceId) -> float:
        """For how long the process has run."""
        return age_secs(instance)

    def cpu_secs(self, instance: InstanceId) -> float:
        """For how long the process has computed, or waited for a core to; 0 if it has gone."""
        return cpu_secs(instance, self._proc)

    def cores(self, pid: int) -> int:
        """How many cores the process may use."""
        return process_limits.cores(pid, self._proc)

    def uid(self, instance: InstanceId) -> int | None:
        """Return the user whom the process runs as; None if it has gone."""
        found = Credentials.of_process(instance.pid, self._proc)
        return found.uid if found is not None and self.alive(instance) else None

    def looking_as(self, instances: Iterable[InstanceId]) -> AbstractContextManager[None]:
        """Open files with no more rights than the first of these processes that is not root."""
        user = None
        for one in instances:
            found = Credentials.of_worker(one.pid, -1, self._proc)
            if found is not None and (user is None or found.uid != 0):
                user = found
            if user is not None and user.uid != 0:
                break
        return looking_as(user or NOBODY)

    def descendants(self, instance: InstanceId) -> dict[int, int]:
        """Return the pids of its children, of their children, and so on, each with its parent's."""
        children: dict[int, list[int]] = {}
        for one in all_stats(self._proc):
            if not one.gone:
                children.setdefault(one.parent, []).append(one.id.pid)
        found: dict[int, int] = {}
        parents = [instance.pid] if self.alive(instance) else []
        while parents:
            parent = parents.pop()
            below = children.pop(parent, [])
            found.update(dict.fromkeys(below, parent))
            parents += below
        return found

    def executed(self, pid: int) -> Executed:
        """Return what the process executes."""
        return Executed.of(pid, self._proc)

    def is_marked(self, pid: int) -> bool | None:
        """Whether the kernel shows it to be a worker with our hooks; None where it cannot tell."""
        return executed.is_marked(pid, self._proc)

    def watch(self, instance: InstanceId) -> bool:
        """Have the selector say when the process ends, with it as the key's data.

        False if it has ended already.
        """
        if instance in self._pidfds:
            return True
        pidfd = self._opened(instance)
        if pidfd is None:
            return False
        self._pidfds[instance] = pidfd
        self._selector.register(pidfd, EVENT_READ, instance)
        return True

    @property
    def pidfds(self) -> list[int]:
        """Descriptors, each readable when a process that is watched has ended."""
        return list(self._pidfds.values())

    def _opened(self, instance: InstanceId) -> int | None:
        """Open a pidfd of exactly this process; None if it has ended."""
        try:
            pidfd = os.pidfd_open(instance.pid)
        except OSError:
            return None
        # The pid may have been given anew before this.
        if self.alive(instance):
            return pidfd
        os.close(pidfd)
        return None

    def unwatch(self, instance: InstanceId) -> None:
        pidfd = self._pidfds.pop(instance, None)
        if pidfd is not None:
            self._selector.unregister(pidfd)
            os.close(pidfd)

    def how_ended(self, instance: InstanceId) -> str:
        """Say how a watched process has ended; empty: as usual, or the kernel does not tell."""
        pidfd = self._pidfds.get(instance)
        return "" if pidfd is None else how_ended(instance, pidfd, self._proc)

    def send(self, instance: InstanceId, signum: signal.Signals) -> None:
        """Signal exactly this process. One that has gone is no error. Raises PermissionError."""
        watched = self._pidfds.get(instance)
        pidfd = self._opened(instance) if watched is None else watched
        if pidfd is None:
            return
        try:
            signal.pidfd_send_signal(pidfd, signum)
        except ProcessLookupError:
            pass
        finally:
            if watched is None:
                os.close(pidfd)

    def measured(self, pids: Iterable[int]) -> list[int]:
        """Return the bytes of memory that each process takes, as far as that can be told."""
        return memory.measured(pids)

    def own_bytes(self, pid: int) -> int:
        """Return the bytes of memory that would be free if it left; 0 if that is not shown."""
        return memory.own(pid, self._proc)

    def room(self, pid: int) -> Room:
        """Return the memory that is left to the process."""
        return memory.room(pid)

    def threads(self, pid: int) -> int:
        return process_limits.threads(pid)

    def processes_left(self, pid: int) -> Left | None:
        """How many more processes and threads may start beside it; None where nothing limits."""
        return process_limits.left(pid)

    def has_sockets(self, instance: InstanceId, fds: Iterable[int]) -> bool:
        """Whether our descriptors are of sockets of the process; also where that is not shown."""
        return socket_store.opened_by(instance.pid, fds, self._proc)

    def sockets(
        self, instance: InstanceId, numbers: Iterable[tuple[str, int]]
    ) -> list[StoredSocket]:
        """Return the process's listening sockets at these (address, descriptor number)s.

        Raises OSError where we may not have them.
        """
        return socket_store.recovered(instance, numbers)
