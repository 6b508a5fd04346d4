"""How many processes may be started: limited as folders say, decided on figures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.process_limits import Left, Need, cores, left, need, threads
from tests.listener.edges.conftest import write

PID = 77


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc of user 33's processes 77 and 78, with 3 and 4 threads, and one of root's."""
    for pid, uid, count in ((PID, 33, 3), (78, 33, 4), (79, 0, 50)):
        status = f"Name:\tx\nUid:\t{uid}\t33\t33\t33\nThreads:\t{count}\n"
        write(tmp_path / "proc" / str(pid) / "status", status)
    (tmp_path / "proc" / "sys").mkdir()
    return tmp_path / "proc"


def limit(group: Path, most: str, current: int) -> None:
    write(group / "pids.max", f"{most}\n")
    write(group / "pids.current", f"{current}\n")


def user_limit(proc: Path, pid: int, most: str) -> None:
    write(
        proc / str(pid) / "limits",
        "Limit                     Soft Limit           Hard Limit           Units\n"
        f"Max processes             {most}                 4096                 processes\n",
    )


def test_without_limits_there_is_none(proc: Path, groups: Path) -> None:
    user_limit(proc, PID, "unlimited")
    assert left(PID, proc, groups) is None
    assert need(2, [1], 0, None) is None


@pytest.mark.parametrize("name", ["0::/a/b\n", "8:pids:/a/b\n0::/\n"])
def test_the_least_of_all_groups_around_it_counts(proc: Path, groups: Path, name: str) -> None:
    write(proc / str(PID) / "cgroup", name)
    root = groups / "pids" if "pids" in name else groups
    limit(root / "a/b", "max", 4)
    assert left(PID, proc, groups) is None
    limit(root / "a", "10", 4)
    assert left(PID, proc, groups) == Left(6, "cgroup /a")
    limit(root / "a/b", "6", 4)
    assert left(PID, proc, groups) == Left(2, "cgroup /a/b")
    limit(root / "a/b", "3", 4)  # lowered below what runs
    assert left(PID, proc, groups) == Left(0, "cgroup /a/b")


def test_a_users_limit_counts_all_threads_of_the_user(proc: Path, groups: Path) -> None:
    user_limit(proc, PID, "20")
    assert left(PID, proc, groups) == Left(13, "the limit of user 33")


def test_a_limit_does_not_hold_for_root(proc: Path, groups: Path) -> None:
    user_limit(proc, 79, "20")
    assert left(79, proc, groups) is None


def test_threads_are_counted_and_one_that_has_gone_is_one(proc: Path) -> None:
    assert (threads(78, proc), threads(4242, proc)) == (4, 1)
    assert threads(os.getpid()) >= 1


@pytest.mark.parametrize(
    ("workers", "others", "free", "fits", "text"),
    [
        (1, 0, 4, True, "4 more processes and threads: 4 are left (cgroup /a)"),
        (1, 0, 3, False, "4 more processes and threads: 3 are left (cgroup /a)"),
        (2, 2, 9, False, "10 more processes and threads: 9 are left (cgroup /a)"),
        (0, 0, 0, True, "no more than now: 0 are left (cgroup /a)"),
    ],
)
def test_each_more_may_have_as_many_threads_as_the_largest(
    workers: int, others: int, free: int, fits: bool, text: str
) -> None:
    found = need(workers, [1, 4], others, Left(free, "cgroup /a"))
    assert isinstance(found, Need)
    assert (found.fits, found.text) == (fits, text)
    assert found.told.available == free


# --- cores ----------------------------------------------------------------------------------------


def test_without_a_quota_all_that_the_process_is_allowed_are_its_cores(tmp_path: Path) -> None:
    mine = os.getpid()
    write(tmp_path / str(mine) / "cgroup", "0::/a\n")
    allowed = len(os.sched_getaffinity(mine))
    assert cores(mine, tmp_path, tmp_path / "cgroup") == allowed
    write(tmp_path / "cgroup" / "a" / "cpu.max", "max 100000\n")
    assert cores(mine, tmp_path, tmp_path / "cgroup") == allowed
    assert cores(2**22 + 1, tmp_path) == os.cpu_count()


@pytest.mark.parametrize(("quota", "expected"), [(350_000, 3), (100_000, 1), (50_000, 1)])
def test_the_least_quota_of_the_groups_around_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    root = tmp_path / "cgroup"
    write(tmp_path / str(PID) / "cgroup", "0::/a/b\n")
    write(root / "a/b" / "cpu.max", "700000 100000\n")
    assert cores(PID, tmp_path, root) == 7
    write(root / "a" / "cpu.max", f"{quota} 100000\n")
    assert cores(PID, tmp_path, root) == expected
    # The same, as cgroup v1 has it.
    write(tmp_path / str(PID) / "cgroup", "4:cpu,cpuacct:/a/c\n0::/\n")
    write(root / "cpu/a" / "cpu.cfs_period_us", "100000\n")
    write(root / "cpu/a" / "cpu.cfs_quota_us", f"{quota}\n")
    assert cores(PID, tmp_path, root) == expected
    write(root / "cpu/a" / "cpu.cfs_quota_us", "-1\n")
    assert cores(PID, tmp_path, root) == 8
