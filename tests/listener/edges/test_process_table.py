"""Processes are known by pid and start time, and watched until the moment they end."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.rollout.events import InstanceId
from tests.harness.descriptors import assert_none_left_open, open_descriptors
from tests.harness.waiting import patience, wait_until

DEADLINE_SECS = 30.0
SLEEPER = "import time; print(flush=True); time.sleep(600)"
# It starts a sleeper of its own, and says so; what that one says is no line of its parent's.
PARENT = (
    "import subprocess, sys, time\n"
    f"p = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}, 'gunicorn: worker'],"
    " stdout=subprocess.DEVNULL)\n"
    "print(p.pid, flush=True); time.sleep(600)"
)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python program; it and what it starts end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", program, *arguments],
                text=True,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        process.stdout.close()


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def table(selector: selectors.BaseSelector) -> ProcessTable:
    return ProcessTable(selector)


def line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def identity(table: ProcessTable, pid: int) -> InstanceId:
    found = table.identity(pid)
    assert found is not None
    return found


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_process_is_its_pid_and_start_time(table: ProcessTable, start: Start) -> None:
    process = start(SLEEPER)
    instance = identity(table, process.pid)
    assert instance.pid == process.pid
    assert identity(table, process.pid) == instance
    assert table.alive(instance)
    assert not table.alive(InstanceId(instance.pid, instance.started - 1))


def test_the_dead_have_no_identity_even_before_they_are_reaped(
    table: ProcessTable, start: Start
) -> None:
    process = start(SLEEPER)
    instance = identity(table, process.pid)
    process.kill()
    wait_until(lambda: is_zombie(process.pid), DEADLINE_SECS, "it is a zombie")
    assert table.identity(process.pid) is None
    assert not table.alive(instance)
    assert not table.watch(instance)
    process.wait()
    assert table.identity(process.pid) is None
    assert not table.watch(instance)
    assert table.child(process.pid) is None


def test_a_child_is_known_with_its_parent(table: ProcessTable, start: Start) -> None:
    parent = start(PARENT)
    pid = int(line(parent))
    child = table.child(pid)
    assert child.id == identity(table, pid)
    assert child.parent == identity(table, parent.pid)
    assert table.children(child.parent) == [child.id]
    assert table.children(child.id) == []


def test_descendants_are_found_with_their_parents(table: ProcessTable, start: Start) -> None:
    parent = start(PARENT)
    pid = int(line(parent))
    assert table.descendants(identity(table, parent.pid)) == {pid: parent.pid}


def test_what_is_asked_of_a_process_that_has_gone_is_answered_with_nothing(
    table: ProcessTable, start: Start
) -> None:
    process = start(SLEEPER)
    instance = identity(table, process.pid)
    process.kill()
    process.wait()
    assert table.children(instance) == []
    assert table.descendants(instance) == {}
    gone = table.executed(instance.pid)
    assert (gone.executable, gone.arguments, gone.is_gunicorn, gone.shown) == (
        "",
        [],
        False,
        "gone",
    )


def test_the_end_of_a_watched_process_is_told_at_once(
    table: ProcessTable, selector: selectors.BaseSelector, start: Start
) -> None:
    process, other = start(SLEEPER), start(SLEEPER)
    instance, staying = identity(table, process.pid), identity(table, other.pid)
    assert table.watch(instance)
    assert table.watch(staying)
    assert table.watch(instance)  # again is no harm
    assert selector.select(0) == []
    process.kill()
    assert [key.data for key, _ in selector.select(DEADLINE_SECS)] == [instance]
    table.unwatch(instance)
    assert selector.select(0) == []


def test_a_later_process_with_the_same_pid_is_not_watched(
    table: ProcessTable, selector: selectors.BaseSelector, start: Start
) -> None:
    process = start(SLEEPER)
    instance = identity(table, process.pid)
    before = open_descriptors()
    assert not table.watch(InstanceId(instance.pid, instance.started - 1))
    assert_none_left_open(before)
    process.kill()
    process.wait()
    assert selector.select(0) == []


def test_watching_leaves_no_descriptor_behind(table: ProcessTable, start: Start) -> None:
    process = start(SLEEPER)
    instance = identity(table, process.pid)
    before = open_descriptors()
    for _ in range(3):
        assert table.watch(instance)
        assert table.watch(instance)
        table.unwatch(instance)
        table.unwatch(instance)
    assert_none_left_open(before)


@pytest.mark.parametrize("watched", [True, False])
def test_a_signal_reaches_exactly_the_process_that_is_meant(
    watched: bool, table: ProcessTable, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "kill")  # by a pid alone it might reach another
    before = open_descriptors()
    process = start(SLEEPER)
    instance = identity(table, process.pid)
    table.send(InstanceId(instance.pid, instance.started - 1), signal.SIGKILL)
    assert table.alive(instance)
    if watched:
        assert table.watch(instance)
    line(process)  # it runs, and so hears TERM as a program
    table.send(instance, signal.SIGTERM)
    assert process.wait(DEADLINE_SECS * patience()) == -signal.SIGTERM
    table.send(instance, signal.SIGTERM)  # no error
    table.unwatch(instance)
    assert open_descriptors() <= before + 1  # the pipe


@pytest.mark.parametrize(
    ("signum", "status", "how"),
    [
        (signal.SIGKILL, 0, "killed by SIGKILL"),
        (signal.SIGRTMIN, 0, "killed by SIGRTMIN"),
        (signal.SIGRTMIN + 1, 0, f"killed by signal {signal.SIGRTMIN + 1}"),
        (signal.SIGTERM, 3, "exit status 3"),
        (signal.SIGTERM, 0, ""),
    ],
)
def test_it_is_told_how_one_has_ended(
    table: ProcessTable,
    selector: selectors.BaseSelector,
    start: Start,
    signum: int,
    status: int,
    how: str,
) -> None:
    process = start(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[1])))\n"
        "print(flush=True); time.sleep(600)",
        str(status),
    )
    line(process)
    instance = identity(table, process.pid)
    assert table.watch(instance)
    assert table.how_ended(instance) == "", "it has not yet"
    process.send_signal(signum)
    wait_until(lambda: selector.select(0), DEADLINE_SECS, "it has ended")
    assert table.how_ended(instance) == how, "its parent does not know yet"
    process.wait()
    assert table.how_ended(instance) in (how, ""), "afterwards it depends on the kernel"
    table.unwatch(instance)
    assert table.how_ended(instance) == ""
