"""What runs beside the rollouts has the program's environment, and nothing of the listener's."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.process_stat import stat_of
from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.wire.program import Program

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


@pytest.mark.skipif(os.getuid() != 0, reason="takes root")
def test_what_tells_the_release_runs_as_the_worker_who_named_the_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with (
        selectors.DefaultSelector() as selector,
        subprocess.Popen(["/bin/sleep", "60"], user=65534, group=65534, extra_groups=[]) as one,
    ):
        try:
            wait_for_user(one.pid, 65534)
            stat = stat_of(one.pid)
            assert stat is not None
            sides = SideProcesses(selector)
            sides.command("key", "id -u; id -G", PROGRAM, "", 20, stat.id.pid, 65534)
            assert ended(sides).output.split() == ["65534", "65534"]
            with pytest.raises(NotPossible):
                sides.command("key", "id -u", PROGRAM, "", 20, stat.id.pid, 65533)
        finally:
            one.kill()


def wait_for_user(pid: int, uid: int) -> None:
    deadline = time.monotonic() + 30
    while (found := Credentials.of_process(pid)) is None or found.uid != uid:
        assert time.monotonic() < deadline
        time.sleep(0.01)
