"""What a surge costs: measured on real processes, decided on figures, limited as folders say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from supervisor_roll.listener.edges.memory import MACHINE, Cost, Room, cost, measured, room
from supervisor_roll.rollout.reports import Memory
from tests.listener.edges.conftest import write

MIB = 2**20
PID = 77


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with one process, on a machine that has 500 MiB available."""
    write(tmp_path / "proc" / "meminfo", "MemTotal: 8388608 kB\nMemAvailable:  512000 kB\n")
    return tmp_path / "proc"


def limit_v2(group: Path, max: str, current: int = 0, idle: int = 0, high: str = "max") -> None:
    write(group / "memory.max", f"{max}\n")
    write(group / "memory.high", f"{high}\n")
    write(group / "memory.current", f"{current}\n")
    write(group / "memory.stat", f"anon 1\ninactive_file {idle}\nactive_file 5\n")


def limit_v1(group: Path, limit: int, usage: int, idle: int) -> None:
    write(group / "memory.limit_in_bytes", f"{limit}\n")
    write(group / "memory.usage_in_bytes", f"{usage}\n")
    write(group / "memory.stat", f"inactive_file 1\ntotal_inactive_file {idle}\n")


# --- deciding ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "sizes", "free", "fits", "text"),
    [
        (
            1,
            [85 * MIB],
            120 * MIB,
            True,
            "1 more worker of about 85 MiB: 120 MiB free (cgroup /web)",
        ),
        (
            1,
            [80 * MIB, 90 * MIB],
            120 * MIB,
            True,
            "1 more worker of up to 90 MiB, 85 MiB on average: 120 MiB free (cgroup /web)",
        ),
        (
            2,
            [80 * MIB, 90 * MIB],
            120 * MIB,
            False,
            "2 more workers of up to 90 MiB, 85 MiB on average: 120 MiB free (cgroup /web)",
        ),
        (1, [85 * MIB], 85 * MIB, True, "1 more worker of about 85 MiB: 85 MiB free (cgroup /web)"),
        (
            1,
            [85 * MIB + 1],
            85 * MIB,
            False,
            "1 more worker of about 85 MiB: 85 MiB free (cgroup /web)",
        ),
        (0, [85 * MIB], 0, True, "no more workers than now: 0.0 MiB free (cgroup /web)"),
        (
            1,
            [3 * MIB // 2],
            20480 * MIB,
            True,
            "1 more worker of about 1.5 MiB: 20.0 GiB free (cgroup /web)",
        ),
        (1, [MIB], -5, False, "1 more worker of about 1.0 MiB: 0.0 MiB free (cgroup /web)"),
    ],
)
def test_a_surge_fits_if_each_more_may_be_as_large_as_the_largest(
    workers: int, sizes: list[int], free: int, fits: bool, text: str
) -> None:
    found = cost(workers, sizes, Room(free, "cgroup /web"))
    assert (found.fits, found.text) == (fits, text)
    assert found.told == Memory(
        per_worker_bytes=max(sizes),
        extra_bytes=workers * max(sizes),
        available_bytes=max(0, free),
        fits=fits,
        text=text,
    )


def test_without_a_measured_worker_there_is_no_cost() -> None:
    assert cost(1, [], Room(MIB, MACHINE)) is None


# --- measuring -----------------------------------------------------------------------------


@pytest.fixture
def hungry() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has 50 MiB to itself, and has said so."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nx = bytearray(b'x') * (50 << 20)\n"
            "print(len(x), flush=True)\nsys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None and process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_process_is_measured_by_what_it_has_to_itself(hungry: subprocess.Popen[bytes]) -> None:
    [size] = measured([hungry.pid])
    full = psutil.Process(hungry.pid).memory_full_info()
    assert 50 * MIB < size < full.rss
    assert abs(size - full.uss) <= MIB


def test_one_that_has_gone_is_left_out(hungry: subprocess.Popen[bytes]) -> None:
    hungry.kill()
    hungry.wait()
    assert len(measured([hungry.pid, os.getpid()])) == 1


def test_where_that_may_not_be_read_it_is_what_is_resident(proc: Path) -> None:
    write(proc / "77" / "status", "Name:\tgunicorn\nVmHWM:\t  9999 kB\nVmRSS:\t  2048 kB\n")
    assert measured([77], proc) == [2 * MIB]
    write(
        proc / "77" / "smaps_rollup",
        "55d0-7fff ---p 00000000 00:00 0    [rollup]\nRss:  2048 kB\nPss:  1500 kB\n"
        "Private_Clean:   24 kB\nPrivate_Dirty:  1000 kB\nPrivate_Hugetlb:  0 kB\n",
    )
    assert measured([77], proc) == [MIB]


# --- the room ------------------------------------------------------------------------------


def test_this_machine_has_the_room_that_the_kernel_says() -> None:
    found = room(os.getpid())
    assert 0 <= found.available_bytes <= psutil.virtual_memory().total
    assert found.where == MACHINE or found.where.startswith("cgroup /")


def test_without_cgroups_it_is_the_machines(proc: Path, groups: Path) -> None:
    assert room(PID, proc, groups) == Room(500 * MIB, MACHINE)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"": None, "a": "max", "a/b": "max"}, Room(500 * MIB, MACHINE)),
        ({"a/b": str(300 * MIB)}, Room(200 * MIB, "cgroup /a/b")),
        ({"a": str(250 * MIB), "a/b": str(300 * MIB)}, Room(150 * MIB, "cgroup /a")),
        ({"": str(250 * MIB), "a/b": str(300 * MIB)}, Room(150 * MIB, "cgroup /")),
        ({"a/b": str(900 * MIB)}, Room(500 * MIB, MACHINE)),
        ({"a/b": str(50 * MIB)}, Room(0, "cgroup /a/b")),
    ],
)
def test_the_least_of_all_groups_around_it_counts(
    proc: Path, groups: Path, limits: dict[str, str | None], expected: Room
) -> None:
    """Each has 110 MiB in use, of which 10 MiB are page cache that would be given up."""
    write(proc / str(PID) / "cgroup", "0::/a/b\n")
    for group, limit in limits.items():
        if limit is not None:
            limit_v2(groups / group, limit, current=110 * MIB, idle=10 * MIB)
    assert room(PID, proc, groups) == expected


def test_what_throttles_limits_too(proc: Path, groups: Path) -> None:
    write(proc / str(PID) / "cgroup", "0::/a\n")
    limit_v2(groups / "a", str(300 * MIB), high=str(200 * MIB))
    assert room(PID, proc, groups) == Room(200 * MIB, "cgroup /a")


def test_the_older_cgroups_limit_as_well(proc: Path, groups: Path) -> None:
    write(
        proc / str(PID) / "cgroup",
        "9:name=systemd:/x\n4:cpu,memory:/docker/abc\n1:cpuset:/\n0::/\n",
    )
    limit_v1(groups / "memory", 9223372036854771712, 900 * MIB, 0)
    limit_v1(groups / "memory/docker/abc", 200 * MIB, 120 * MIB, 20 * MIB)
    assert room(PID, proc, groups) == Room(100 * MIB, "cgroup /docker/abc")


@pytest.mark.parametrize("path", ["/docker/abc", "/../other", "/"])
def test_inside_a_container_the_root_is_the_containers(proc: Path, groups: Path, path: str) -> None:
    write(proc / str(PID) / "cgroup", f"0::{path}\n")
    limit_v2(groups, str(100 * MIB))
    assert room(PID, proc, groups) == Room(100 * MIB, "cgroup /")


def test_a_cost_says_what_limits_it(proc: Path, groups: Path) -> None:
    found = cost(1, [MIB], room(PID, proc, groups))
    assert found == Cost(1, MIB, MIB, 500 * MIB, MACHINE)
