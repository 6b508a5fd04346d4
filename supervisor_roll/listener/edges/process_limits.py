"""How many more processes the kernel allows a program, and how many a surge takes.

What is counted are threads, as the kernel does: against ``pids.max`` of each cgroup around the
arbiter, and against the limit of its user (``ulimit -u``), which does not hold for root. The cores
are how many of them can compute at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from supervisor_roll.listener.edges.cgroups import CGROUP, PROC, around, number, text
from supervisor_roll.rollout.reports import Processes

_NO_LIMIT = 2**60


@dataclass(frozen=True)
class Left:
    """So many more threads may be started, and ``where`` that limit is."""

    count: int
    where: str


@dataclass(frozen=True)
class Need:
    """What ``workers`` more workers take, of as many threads as the largest has, and ``others``."""

    workers: int
    per_worker: int
    others: int
    left: Left

    @property
    def extra(self) -> int:
        return self.workers * self.per_worker + self.others

    @property
    def fits(self) -> bool:
        return self.extra <= self.left.count

    @property
    def told(self) -> Processes:
        """As a dry run reports it."""
        return Processes(self.extra, self.left.count, self.fits, self.text)

    @property
    def text(self) -> str:
        """Such as "8 more processes and threads: 120 are left (cgroup /web)"."""
        noun = "process or thread" if self.extra == 1 else "processes and threads"
        more = f"{self.extra} more {noun}" if self.extra else "no more than now"
        return f"{more}: {self.left.count} are left ({self.left.where})"


def threads(pid: int, proc: Path = PROC) -> int:
    """How many threads the process has, the first one counted; 1 if that cannot be told."""
    found = _status(proc / str(pid)).get("Threads", "")
    return int(found) if found.isdigit() else 1


def left(pid: int, proc: Path = PROC, cgroup: Path = CGROUP) -> Left | None:
    """Return the least that the limits around the process leave; None where there are none."""
    limits = [*_of_cgroups(pid, proc, cgroup), *_of_user(pid, proc)]
    return min(limits, key=lambda one: one.count, default=None)


def need(workers: int, measured: Iterable[int], others: int, left: Left | None) -> Need | None:
    """Return what ``workers`` more take, by the threads of those ``measured``; None: no limit."""
    return Need(workers, max(measured, default=1), others, left) if left is not None else None


def cores(pid: int, proc: Path = PROC, cgroup: Path = CGROUP) -> int:
    """Return how many cores the process may use, by its affinity and the cgroups around it."""
    try:
        allowed = len(os.sched_getaffinity(pid))
    except OSError:  # it has gone
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *_quotas(pid, proc, cgroup)]))


def _quotas(pid: int, proc: Path, cgroup: Path) -> Iterator[int]:
    """Return the cores' worth of time that each cgroup has, as far as that is limited."""
    for group in around(pid, "cpu", proc, cgroup):
        if group.version == 2:
            words = text(group.folder / "cpu.max").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [text(group.folder / name).strip() for name in names]
        if len(words) == 2 and all(one.isdigit() for one in words) and int(words[1]):
            yield int(words[0]) // int(words[1])


def _of_cgroups(pid: int, proc: Path, cgroup: Path) -> Iterator[Left]:
    for group in around(pid, "pids", proc, cgroup):
        limit = number(group.folder / "pids.max", _NO_LIMIT)
        if limit < _NO_LIMIT:
            used = number(group.folder / "pids.current", 0)
            yield Left(max(0, limit - used), f"cgroup {group.path}")


def _of_user(pid: int, proc: Path) -> Iterator[Left]:
    user = _user(_status(proc / str(pid)))
    line = next(
        (one for one in text(proc / str(pid) / "limits").splitlines() if "Max processes" in one), ""
    )
    limit = line.removeprefix("Max processes").split()[:1]
    if user in ("", "0") or not limit or not limit[0].isdigit():
        return
    used = 0
    for folder in proc.iterdir():
        if folder.name.isdigit():
            status = _status(folder)
            if _user(status) == user:
                used += int(status.get("Threads", "1"))
    yield Left(max(0, int(limit[0]) - used), f"the limit of user {user}")


def _user(status: dict[str, str]) -> str:
    """Return the real user's number, by whom the kernel counts."""
    return status.get("Uid", "").partition("\t")[0]


def _status(process: Path) -> dict[str, str]:
    lines = text(process / "status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
