"""What runs beside the rollouts has the program's environment, and nothing of the listener's."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.wire.program import Program
from tests.harness.folders import new_folder

NOBODY = 65534
#: Of no other test and of no Debian package: what is of nobody may be another test's.
STOPPER = 65531
takes_root = pytest.mark.skipif(os.getuid() != 0, reason="takes root")
SECRETS = ("SUPERVISOR_ROLL_TOKEN", "SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD")
PROGRAM = Program("/usr/bin/env", ["env"], "/", {"PATH": os.environ["PATH"], "OWN": "1"}, 0o22)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "of the listener")


def ended(sides: SideProcesses) -> Result:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for _, result in sides.poll():
            return result
        time.sleep(0.02)
    raise AssertionError("it did not end")


def check(output: str) -> None:
    assert "OWN=1" in output
    assert "of the listener" not in output
    assert not [name for name in SECRETS if name in output]


def test_a_command_of_on_failure_or_release() -> None:
    with selectors.DefaultSelector() as selector:
        sides = SideProcesses(selector)
        sides.command("myapp", "env", PROGRAM, "why", 20)
        check(ended(sides).output)


@contextmanager
def worker_of(user: int) -> Iterator[int]:
    """The pid of a process of that user."""
    with subprocess.Popen(["/bin/sleep", "60"], user=user, group=user, extra_groups=[]) as one:
        try:
            wait_for_user(one.pid, user)
            yield one.pid
        finally:
            one.kill()


@pytest.fixture
def worker() -> Iterator[int]:
    with worker_of(NOBODY) as pid:
        yield pid


@takes_root
def test_what_tells_the_release_runs_as_the_worker_who_named_the_folder(worker: int) -> None:
    with selectors.DefaultSelector() as selector:
        sides = SideProcesses(selector)
        sides.command("key", "id -u; id -G; env", PROGRAM, "", 20, worker, NOBODY)
        output = ended(sides).output
        assert output.split()[:2] == [str(NOBODY)] * 2
        check(output)
        with pytest.raises(NotPossible):
            sides.command("key", "id -u", PROGRAM, "", 20, worker, NOBODY - 1)


@takes_root
def test_it_enters_no_folder_that_the_worker_may_not_enter(worker: int, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    open_folder = new_folder("roll-", "/tmp")
    open_folder.chmod(0o755)
    with selectors.DefaultSelector() as selector:
        sides = SideProcesses(selector)
        for told, entered in ((closed, Path("/")), (open_folder, open_folder)):
            sides.command("key", "pwd", PROGRAM, "", 20, worker, NOBODY, directory=str(told))
            assert ended(sides).output == f"{entered}\n"
    open_folder.rmdir()


STOPS = f"""
import os, signal, sys
os.setuid({STOPPER})
print("stops", flush=True)
fd = os.open("/proc/loadavg", os.O_RDONLY)
while True:
    last = int(os.pread(fd, 100, 0).split()[-1])  # the pid that was given last
    for pid in range(last - 1, last + 2):
        try:
            os.kill(pid, signal.SIGSTOP)
        except OSError:
            pass
"""


@takes_root
def test_a_worker_that_stops_it_at_once_does_not_stop_the_listener() -> None:
    with (
        worker_of(STOPPER) as worker,
        selectors.DefaultSelector() as selector,
        subprocess.Popen([sys.executable, "-c", STOPS], stdout=subprocess.PIPE) as stops,
    ):
        stops.stdout.readline()
        before = signal.signal(signal.SIGALRM, _too_late)
        try:
            sides = SideProcesses(selector)
            for _ in range(20):
                signal.alarm(20)
                sides.command("key", "sleep 1", PROGRAM, "", 0.2, worker, STOPPER)
                assert not ended(sides).ok
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
            stops.kill()


def _too_late(*_: object) -> None:
    for child in psutil.Process().children():
        child.kill()
    raise AssertionError("the listener waits")


def wait_for_user(pid: int, uid: int) -> None:
    deadline = time.monotonic() + 30
    while (found := Credentials.of_process(pid)) is None or found.uid != uid:
        assert time.monotonic() < deadline
        time.sleep(0.01)
