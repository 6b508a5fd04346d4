"""What /proc/PID/stat says of a process.

A process's start time is taken in clock ticks since the machine's boot, as the kernel counts
them: an integer, which a step of the wall clock does not change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from supervisor_roll.rollout.events import InstanceId

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")  # in each second
_GONE = frozenset("ZXx")
_MOST_BYTES = 4096  # of a line of numbers and a name


@dataclass(frozen=True)
class ProcessStat:
    """A process, by its pid and start time, and its parent. ``gone``: it is a zombie at most.

    ``cpu_secs``: for how long it has computed, all of its threads together.
    """

    id: InstanceId
    parent: int
    gone: bool
    cpu_secs: float = 0.0


def read(path: str) -> bytes:
    """Return a short file of the kernel's: it is read for each message. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _MOST_BYTES)
    finally:
        os.close(fd)


def stat_of(pid: int, proc: Path = PROC) -> ProcessStat | None:
    """Return what the kernel says of this pid; None if no process has it, or it is unreadable."""
    try:
        fields = _fields(pid, proc)
        return ProcessStat(
            InstanceId(pid, int(fields[19])),
            int(fields[1]),
            fields[0].decode() in _GONE,
            (int(fields[11]) + int(fields[12])) / TICKS,
        )
    except (OSError, ValueError, IndexError):
        return None


def exit_code(instance: InstanceId, proc: Path = PROC) -> int:
    """Return with what a process that is a zombie has ended, as wait(2); 0 where we may not know.

    The kernel tells it root, and who may trace the process.
    """
    with suppress(OSError, ValueError, IndexError):
        fields = _fields(instance.pid, proc)
        if fields[0].decode() in _GONE and int(fields[19]) == instance.started:
            return int(fields[49])
    return 0


def _fields(pid: int, proc: Path) -> list[bytes]:
    """Return what follows the name. Raises OSError and ValueError."""
    line = read(f"{proc}/{pid}/stat")
    # The name, in parentheses, may itself hold parentheses, spaces and line ends.
    return line[line.rindex(b")") + 1 :].split()


def cpu_secs(instance: InstanceId, proc: Path = PROC) -> float:
    """For how long the process has computed, or waited for a core to do so; 0 if it has gone.

    On a busy machine most of it is the wait, which the kernel tells of the first thread alone.
    """
    waited: list[bytes] = []
    with suppress(OSError):
        waited = read(f"{proc}/{instance.pid}/schedstat").split()[:2]
    found = stat_of(instance.pid, proc)
    if found is None or found.id != instance:
        return 0.0
    return max(found.cpu_secs, sum(map(int, waited)) / 1e9)


def all_stats(proc: Path = PROC) -> Iterator[ProcessStat]:
    """Those of all processes, as far as they can be read."""
    try:
        names = os.listdir(proc)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return
    for name in names:
        if name.isdecimal() and (found := stat_of(int(name), proc)) is not None:
            yield found


def age_secs(instance: InstanceId) -> float:
    """For how long the process has run."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - instance.started / TICKS


def supervised(pid: int, supervisord: int, proc: Path = PROC) -> InstanceId | None:
    """Return the process that has this pid, if it is a child or grandchild of ``supervisord``."""
    found = stat_of(pid, proc)
    if found is None:
        return None
    parent = None if found.parent == supervisord else stat_of(found.parent, proc)
    if found.parent == supervisord or (parent is not None and parent.parent == supervisord):
        return found.id
    return None


def pids_below(supervisord: int, proc: Path = PROC) -> list[int]:
    """Return the pids of all such processes."""
    parents = {one.id.pid: one.parent for one in all_stats(proc)}
    return [pid for pid, parent in parents.items() if supervisord in (parent, parents.get(parent))]
