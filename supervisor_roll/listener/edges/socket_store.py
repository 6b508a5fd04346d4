"""The store of listening sockets: duplicates of what the arbiters accept on.

An arbiter's hook hands them in when it has them (``LISTENING``), as systemd's file
descriptor store has it (sd_pid_notify_with_fds(3), FDSTORE=1). So a successor can accept on
the very same sockets, and while an arbiter that has crashed is started again, connections
wait in the backlog. An intended stop must refuse at once: then they are released.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from supervisor_roll.listener.edges import told_paths
from supervisor_roll.listener.edges.process_stat import PROC, stat_of
from supervisor_roll.listener.edges.received import Descriptors
from supervisor_roll.rollout.events import InstanceId

# How long the loop waits for one to be closed, at the most.
PATIENCE_SECS = 1.0
# Of one program, those included that are being closed. A message has 253 at the most.
MAX_SOCKETS = 1000

# pidfd_getfd(2), Linux 5.6; the same number on every architecture. Python has no name for it.
_PIDFD_GETFD = 438


@dataclass(frozen=True)
class StoredSocket:
    """One socket: the address as the arbiter's configuration has it, and our descriptor."""

    address: str
    fd: int


@dataclass(frozen=True)
class HeldSockets:
    """All that are held of one arbiter."""

    arbiter: InstanceId
    namespec: str
    sockets: list[StoredSocket]


class SocketStore:
    """What is held of each arbiter, by its identity, with the program that it is of.

    They are others' sockets: to close one may take long. That is waited for in threads that close
    for one program alone.
    """

    def __init__(self) -> None:
        self._held: dict[InstanceId, tuple[str, list[StoredSocket]]] = {}
        self._descriptors: dict[str, Descriptors] = {}

    @property
    def programs(self) -> set[str]:
        return {namespec for namespec, _ in self._held.values()}

    @property
    def held(self) -> list[HeldSockets]:
        return [HeldSockets(one, *held) for one, held in self._held.items()]

    @property
    def closing(self) -> bool:
        """Some are being closed."""
        held = sum(len(sockets) for _, sockets in self._held.values())
        return held < sum(one.open for one in self._descriptors.values())

    def has(self, arbiter: InstanceId) -> bool:
        return arbiter in self._held

    def put(self, arbiter: InstanceId, namespec: str, sockets: Iterable[StoredSocket]) -> None:
        """Hold these descriptors, which are ours from now on, in place of the arbiter's former."""
        self.drop(arbiter)
        held = list(sockets)
        self._held[arbiter] = namespec, held
        self._descriptors.setdefault(namespec, Descriptors(MAX_SOCKETS)).came(len(held))

    def is_full(self, namespec: str) -> bool:
        """Whether the program has so many of them, open or being closed, that it gets no more."""
        return namespec in self._descriptors and self._descriptors[namespec].full

    def for_another(self, arbiter: InstanceId, namespec: str) -> list[StoredSocket]:
        """Return what the program's other arbiters listen on, the youngest of them."""
        others = [
            (one.started, sockets)
            for one, (name, sockets) in self._held.items()
            if name == namespec and one != arbiter
        ]
        return max(others, key=lambda one: one[0])[1] if others else []

    def drop(self, arbiter: InstanceId) -> None:
        """Close what is held of one arbiter."""
        namespec, sockets = self._held.pop(arbiter, ("", []))
        if sockets:
            self._close(namespec, sockets)

    def forget(self, held: StoredSocket) -> None:
        """Close one socket, if it is still held."""
        for namespec, sockets in self._held.values():
            if any(one is held for one in sockets):
                sockets[:] = [one for one in sockets if one is not held]
                self._close(namespec, [held])

    def release(self, namespec: str) -> None:
        """Close what is held of a program."""
        for arbiter in [one for one, (name, _) in self._held.items() if name == namespec]:
            self.drop(arbiter)

    def drop_others(self, arbiter: InstanceId, namespec: str, alive: Iterable[InstanceId]) -> None:
        """Close what is held of the program's arbiters but this one and those ``alive``."""
        kept = {arbiter, *alive}
        for one in [
            one for one, (name, _) in self._held.items() if name == namespec and one not in kept
        ]:
            self.drop(one)

    def _close(self, namespec: str, sockets: Iterable[StoredSocket]) -> None:
        self._descriptors[namespec].close((one.fd for one in sockets), PATIENCE_SECS)


def listening(fd: int) -> bool:
    """Whether the descriptor is a socket that listens."""
    try:
        one = socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        one.detach()


def opened_by(pid: int, fds: Iterable[int], proc: Path = PROC) -> bool:
    """Whether the process has these very sockets open; also where that is not shown to us."""
    folder = proc / str(pid) / "fd"
    try:
        theirs = {_target(one) for one in folder.iterdir()}
    except OSError:
        return True
    return theirs.issuperset(f"socket:[{os.fstat(fd).st_ino}]" for fd in fds)


def _target(link: Path) -> str:
    """Where the descriptor leads; empty if it was closed meanwhile. Raises OSError if not shown."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def unused(paths: Iterable[str], addresses: Iterable[str]) -> list[str]:
    """Those of the paths of Unix sockets where none of the addresses leads."""
    used = {_resolved(one.removeprefix("unix:")) for one in addresses if one.startswith("unix:/")}
    return [path for path in paths if path and _resolved(path) not in used]


def _resolved(path: str) -> str:
    folder, name = os.path.split(path)
    try:
        return f"{told_paths.led_to(folder)[0]}/{name}"
    except (OSError, ValueError):
        return path  # nothing can be there


def recovered(process: InstanceId, sockets: Iterable[tuple[str, int]]) -> list[StoredSocket]:
    """Return the sockets that the process has under these (address, descriptor number)s.

    By pidfd_getfd(2), which takes the right to trace the process: root's, or the same user's
    where Yama does not restrict it. Raises OSError, and holds nothing then.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    held: list[StoredSocket] = []
    pidfd = os.pidfd_open(process.pid)
    try:
        found = stat_of(process.pid)
        if found is None or found.id != process:
            raise OSError("it has gone")  # and its pid may be another's
        for address, number in sockets:
            fd = libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
            if fd < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            os.set_inheritable(fd, False)
            held.append(StoredSocket(address, fd))
            if not listening(fd):
                raise OSError(f"its descriptor {number} is no listening socket")
    except OSError:
        Descriptors().close((one.fd for one in held), PATIENCE_SECS)
        raise
    finally:
        os.close(pidfd)
    return held
