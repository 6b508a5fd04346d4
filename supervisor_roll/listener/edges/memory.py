"""What a surge costs in memory, and whether there is room for it.

Measuring and deciding are apart: ``measured`` and ``room`` read /proc and the cgroup file
system, whose roots are arguments; ``cost`` is pure. Read by hand rather than through psutil,
which knows one /proc and no cgroups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from supervisor_roll.listener.edges.cgroups import CGROUP, PROC, around, number, text
from supervisor_roll.rollout.reports import Memory

MACHINE = "this machine"


class _Version(NamedTuple):
    """The names of a cgroup's files, and of the line in memory.stat."""

    limits: tuple[str, ...]
    usage: str
    idle: str


_VERSIONS = {
    1: _Version(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    2: _Version(("memory.max", "memory.high"), "memory.current", "inactive_file"),
}
# cgroup v1 writes "no limit" as a number near 2**63.
_NO_LIMIT = 2**60
_MIB = 2**20


@dataclass(frozen=True)
class Room:
    """The bytes that can still be used, and ``where`` that limit is."""

    available_bytes: int
    where: str


@dataclass(frozen=True)
class Cost:
    """What ``workers`` more workers take, each as much as the largest that serves now.

    ``per_worker_bytes`` is that largest one's, ``mean_bytes`` the mean.
    """

    workers: int
    per_worker_bytes: int
    mean_bytes: int
    available_bytes: int
    where: str

    @property
    def extra_bytes(self) -> int:
        return self.workers * self.per_worker_bytes

    @property
    def fits(self) -> bool:
        return self.extra_bytes <= self.available_bytes

    @property
    def told(self) -> Memory:
        """As a dry run reports it."""
        return Memory(
            self.per_worker_bytes, self.extra_bytes, self.available_bytes, self.fits, self.text
        )

    @property
    def text(self) -> str:
        """Such as "1 more worker of about 85 MiB: 120 MiB free (this machine)"."""
        free = f"{_mib(self.available_bytes)} free ({self.where})"
        if not self.workers:
            return f"no more workers than now: {free}"
        noun = "worker" if self.workers == 1 else "workers"
        largest, mean = _mib(self.per_worker_bytes), _mib(self.mean_bytes)
        each = f"about {largest}" if largest == mean else f"up to {largest}, {mean} on average"
        return f"{self.workers} more {noun} of {each}: {free}"


def cost(workers: int, measured: list[int], room: Room) -> Cost | None:
    """Return what ``workers`` more cost, judged by those ``measured``. Pure. None if none was."""
    if not measured:
        return None
    return Cost(
        workers,
        max(measured),
        sum(measured) // len(measured),
        max(0, room.available_bytes),
        room.where,
    )


def measured(pids: Iterable[int], proc: Path = PROC) -> list[int]:
    """Return the bytes that each process has to itself; those that have gone are left out.

    Where we may not read that (another's process, and we are not root) it is all that is
    resident, which counts what is shared too.
    """
    sizes = (own(pid, proc) or _resident(proc / str(pid)) for pid in pids)
    return [size for size in sizes if size]


def room(pid: int, proc: Path = PROC, cgroup: Path = CGROUP) -> Room:
    """Return the least of what the machine and each cgroup around process ``pid`` leave."""
    rooms = [
        Room(_sizes(proc / "meminfo").get("MemAvailable", 0), MACHINE),
        *_cgroup_rooms(pid, proc, cgroup),
    ]
    return min(rooms, key=lambda one: one.available_bytes)


def own(pid: int, proc: Path = PROC) -> int:
    """Return the bytes that would be free if the process left; 0 where we may not read that."""
    sizes = _sizes(proc / str(pid) / "smaps_rollup")
    return sum(sizes.get(key, 0) for key in ("Private_Clean", "Private_Dirty", "Private_Hugetlb"))


def _resident(process: Path) -> int:
    return _sizes(process / "status").get("VmRSS", 0)


def _cgroup_rooms(pid: int, proc: Path, cgroup: Path) -> Iterator[Room]:
    for group in around(pid, "memory", proc, cgroup):
        version = _VERSIONS[group.version]
        limit = min(number(group.folder / name, _NO_LIMIT) for name in version.limits)
        if limit < _NO_LIMIT:
            # The page cache that is not in use is given up before anything is killed.
            idle = _stat(group.folder / "memory.stat").get(version.idle, 0)
            used = number(group.folder / version.usage, 0) - idle
            yield Room(max(0, limit - max(0, used)), f"cgroup {group.path}")


def _sizes(path: Path) -> dict[str, int]:
    """Return a file of lines such as "VmRSS:  1234 kB", in bytes; empty if it cannot be read."""
    found = {}
    for line in text(path).splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            found[key] = int(words[0]) * 1024
    return found


def _stat(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _mib(size: int) -> str:
    if size >= 10 * 1024 * _MIB:
        return f"{size / (1024 * _MIB):.1f} GiB"
    return f"{size / _MIB:.0f} MiB" if size >= 10 * _MIB else f"{size / _MIB:.1f} MiB"
