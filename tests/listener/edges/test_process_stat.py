"""Who a process is does not depend on the clock, nor on what it calls itself."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.process_stat import TICKS, age_secs, all_stats, stat_of
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.rollout.events import InstanceId


def kernel_shows(
    proc: Path, pid: int, started: int, parent: int = 1, name: str = "x", cpu_ticks: int = 0
) -> None:
    """A process in a /proc of our own."""
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    rest = " ".join(["0"] * 9 + [str(cpu_ticks)] + ["0"] * 7)
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} {rest} {started} 0 0\n")


def test_a_step_of_the_wall_clock_makes_nobody_another(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("btime 1800000000\n")
    kernel_shows(tmp_path, 7, 12345)
    with selectors.DefaultSelector() as selector:
        table = ProcessTable(selector, tmp_path)
        before = table.identity(7)
        (tmp_path / "stat").write_text("btime 1800003600\n")
        assert table.identity(7) == before == InstanceId(7, 12345)
        assert isinstance(before.started, int)


@pytest.mark.parametrize("name", ["a) S 4 4 4", "((", "x\ny", "", ") Z 1"])
def test_what_a_process_calls_itself_misleads_nobody(name: str, tmp_path: Path) -> None:
    kernel_shows(tmp_path, 7, 5, parent=3, name=name)
    found = stat_of(7, tmp_path)
    assert (found.id, found.parent, found.gone) == (InstanceId(7, 5), 3, False)


@pytest.mark.parametrize("text", ["", "7 (x)", "7 (x) S", "7 x S 1", "7 (x) S one " + "0 " * 20])
def test_what_cannot_be_read_is_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(text)
    kernel_shows(tmp_path, 8, 1)
    (tmp_path / "self").mkdir()
    assert stat_of(7, tmp_path) is None
    assert [one.id.pid for one in all_stats(tmp_path)] == [8]
    assert list(all_stats(tmp_path / "missing")) == []


def test_the_kernels_own_entry_is_read() -> None:
    found = stat_of(os.getpid())
    assert (found.id.pid, found.parent, found.gone) == (os.getpid(), os.getppid(), False)


def test_an_age_is_from_the_start_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = stat_of(process.pid)
        assert found is not None
        began = time.monotonic()
        assert 0 <= age_secs(found.id) < 60
        while age_secs(found.id) <= 1 / TICKS:
            assert time.monotonic() < began + 30
        process.communicate(b"\n")


def test_how_long_a_process_has_computed_is_not_its_age() -> None:
    text = "import sys, time; [None for _ in range(5_000_000)]; print(flush=True); sys.stdin.read()"
    with (
        selectors.DefaultSelector() as selector,
        subprocess.Popen(
            [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child,
    ):
        child.stdout.readline()
        table = ProcessTable(selector)
        instance = table.identity(child.pid)
        assert instance is not None
        before, age = table.cpu_secs(instance), age_secs(instance)
        assert 0.03 < before <= age + 0.05
        time.sleep(0.3)
        assert table.cpu_secs(instance) - before < (age_secs(instance) - age) / 2
        assert table.cpu_secs(InstanceId(child.pid, instance.started + 1)) == 0.0
        child.communicate()
        assert table.cpu_secs(instance) == 0.0


@pytest.mark.parametrize(
    ("schedstat", "secs"), [("300000000 745000000 134\n", 1.045), ("0 0 0\n", 0.3), (None, 0.3)]
)
def test_on_a_busy_machine_what_it_waited_for_a_core_counts_too(
    schedstat: str | None, secs: float, tmp_path: Path
) -> None:
    kernel_shows(tmp_path, 7, 5, cpu_ticks=round(0.3 * TICKS))
    if schedstat is not None:
        (tmp_path / "7" / "schedstat").write_text(schedstat)
    with selectors.DefaultSelector() as selector:
        assert ProcessTable(selector, tmp_path).cpu_secs(InstanceId(7, 5)) == pytest.approx(secs)
