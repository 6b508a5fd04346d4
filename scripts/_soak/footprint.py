"""What a process has of the machine at one moment, and how that grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Footprint:
    """``uss`` and ``pss`` are in MiB: memory of its own alone, and with its share of the rest.

    ``cpu_secs`` is what it has computed since its start.
    """

    uss: float
    pss: float
    fds: int
    threads: int
    zombies: int
    cpu_secs: float

    def __str__(self) -> str:
        return f"{self.uss:>8.2f}{self.pss:>8.2f}{self.fds:>6}{self.threads:>9}{self.zombies:>9}"


HEADER = f"{'USS':>8}{'PSS':>8}{'fds':>6}{'threads':>9}{'zombies':>9}"


def footprint(pid: int) -> Footprint:
    """What the process has now; its children that are no more count as its zombies."""
    process = psutil.Process(pid)
    memory = process.memory_full_info()
    return Footprint(
        memory.uss / _MIB,
        memory.pss / _MIB,
        process.num_fds(),
        process.num_threads(),
        sum(_is_zombie(child) for child in process.children()),
        sum(process.cpu_times()[:2]),
    )


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How much the second number of a point grows with one of the first: least squares."""
    middle = sum(x for x, _ in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * y for x, y in points) / spread if spread else 0.0
