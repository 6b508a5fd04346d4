"""How many workers of an arbiter are ready, told by the kernel and by Gunicorn alone.

A worker's heartbeat file is the one descriptor of its that leads to ``/wgunicorn-*``.
Its first heartbeat, which every worker class sends when it begins to serve, shows in the
file: up to Gunicorn 21.2 its mode stops being 0600; from 22 on its modification time turns
from the wall clock's to the monotonic clock's. A worker counts as ready from then until
it is gone: that it was asked to stop does not show.
"""

from __future__ import annotations

import itertools
import stat
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

#: No machine has been up for so many seconds; the wall clock passed it in 2001.
_WALL_CLOCK_SECS = 1e9


@dataclass(frozen=True)
class Sample:
    """One look: the monotonic time, the arbiter's live children, and those that are ready."""

    at: float
    children: frozenset[int]
    ready: frozenset[int]

    @property
    def booting(self) -> frozenset[int]:
        """Those that are not ready yet."""
        return self.children - self.ready


class Table(Protocol):
    """What an Observer looks at."""

    def sample(self) -> Sample:
        """A fresh look."""
        ...


class ArbitersTable:
    """The workers of all the arbiters that ``arbiters()`` names at each look, taken together."""

    def __init__(self, arbiters: Callable[[], Iterable[int]]) -> None:
        self._arbiters = arbiters
        self._tables: dict[int, WorkerTable] = {}

    def sample(self) -> Sample:
        at = time.monotonic()
        # One that has ended is looked at until its last worker has.
        for pid in self._arbiters():
            self._tables.setdefault(pid, WorkerTable(pid))
        samples = [table.sample() for table in self._tables.values()]
        return Sample(
            at,
            frozenset().union(*(one.children for one in samples)),
            frozenset().union(*(one.ready for one in samples)),
        )


class WorkerTable:
    """The workers of the arbiter with ``arbiter_pid``; each ``sample`` is a fresh look."""

    def __init__(self, arbiter_pid: int) -> None:
        self.arbiter_pid = arbiter_pid
        self._known: dict[int, _Worker] = {}

    def sample(self) -> Sample:
        at = time.monotonic()
        # Those already known are looked at by themselves.
        for pid in children(self.arbiter_pid) | self._known.keys():
            started = _started(pid, self.arbiter_pid)
            known = self._known.get(pid)
            if started is None:
                self._known.pop(pid, None)
            elif known is None or known.started != started:
                self._known[pid] = _Worker(pid, started)
        ready = frozenset(pid for pid, worker in self._known.items() if worker.look())
        return Sample(at, frozenset(self._known), ready)


def children(pid: int) -> set[int]:
    """The children of a process, of which the kernel may skip some while one of them exits."""
    found: set[int] = set()
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.update(map(int, (thread / "children").read_text().split()))
    except FileNotFoundError:  # gone, or a kernel without CONFIG_PROC_CHILDREN
        try:
            found.update(one.pid for one in psutil.Process(pid).children())
        except psutil.NoSuchProcess:
            pass
    except ProcessLookupError:
        pass
    return found


class _Worker:
    def __init__(self, pid: int, started: str) -> None:
        self.started = started
        self._folder = Path(f"/proc/{pid}/fd")
        self._ready = False

    def look(self) -> bool:
        if not self._ready:
            try:
                self._ready = self._has_beaten()
            except (FileNotFoundError, ProcessLookupError):
                pass  # it is leaving
        return self._ready

    def _has_beaten(self) -> bool:
        files = [fd for fd in self._folder.iterdir() if _is_heartbeat(fd)]
        if len(files) != 1:
            return False  # just forked: its siblings' files are still open in it
        heartbeat = files[0].stat()
        return stat.S_IMODE(heartbeat.st_mode) != 0o600 or heartbeat.st_mtime < _WALL_CLOCK_SECS


def _is_heartbeat(descriptor: Path) -> bool:
    try:
        return "/wgunicorn-" in str(descriptor.readlink())
    except FileNotFoundError:
        return False  # closed since it was listed, as a served connection's is


def _started(pid: int, parent_pid: int) -> str | None:
    """The start time that the kernel gives a live child of ``parent_pid``, else None."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX" or int(fields[1]) != parent_pid:
        return None
    return fields[19]


class Observer:
    """Samples the workers every ``every_secs``, for as long as the context lasts."""

    def __init__(self, table: Table, every_secs: float = 0.05) -> None:
        self.samples: list[Sample] = []
        self._table = table
        self._every_secs = every_secs
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    @property
    def min_ready(self) -> int:
        """The fewest ready workers in any sample."""
        return min(len(sample.ready) for sample in self.samples)

    @property
    def max_children(self) -> int:
        """The most children, ready or not, in any sample."""
        return max(len(sample.children) for sample in self.samples)

    @property
    def max_booting(self) -> int:
        """The most children in any sample that were not ready yet."""
        return max(len(sample.booting) for sample in self.samples)

    @property
    def longest_gap_secs(self) -> float:
        """The longest time between two samples: what stayed shorter than this may be unseen."""
        times = [sample.at for sample in self.samples]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    def secs_below(self, ready: int) -> float:
        """How long fewer than ``ready`` workers were ready, as far as the samples show."""
        pairs = itertools.pairwise(self.samples)
        return sum(b.at - a.at for a, b in pairs if len(a.ready) < ready)

    def __enter__(self) -> Observer:
        self.samples.append(self._table.sample())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_secs):
            self.samples.append(self._table.sample())
