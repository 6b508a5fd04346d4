"""A command that runs beside the rollouts is over in time, whatever it does, and leaves nothing."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.wire.program import Program
from tests.harness.processes import is_gone
from tests.harness.waiting import patience, wait_until

ROOT = Path(__file__).parents[3]
PATIENCE_SECS = 30.0
pytestmark = pytest.mark.processes


def program(folder: Path, umask: int = 0o022, **variables: str) -> Program:
    environment = {"PATH": os.environ["PATH"], **variables}
    return Program("/bin/true", ["true"], str(folder), environment, umask)


class Sides(SideProcesses):
    """One at a time, waited for as the listener does: for its descriptor and its deadlines."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        super().__init__(self.selector)

    def begin(self, command: str, of: Program, timeout_secs: float = PATIENCE_SECS) -> None:
        self.command("web", command, of, "it\0failed", timeout_secs)

    def ended(self) -> Result:
        until = time.monotonic() + PATIENCE_SECS
        while not (results := self.poll()):
            assert time.monotonic() < until
            deadline = self.next_deadline() or until
            self.selector.select(max(0.0, min(deadline, until) - time.monotonic()))
        ((namespec, result),) = results
        assert namespec == "web" and self.next_deadline() is None
        assert not self.selector.get_map()
        return result


@pytest.fixture
def sides() -> Iterator[Sides]:
    """No descriptor, no zombie and no child is left of any of them."""
    made = Sides()
    before = descriptors()
    yield made
    made.drop("web")
    assert descriptors() <= before  # what earlier tests left may go meanwhile
    assert psutil.Process().children() == []
    made.selector.close()


def descriptors() -> set[tuple[str, str]]:
    """What is open in this process, but for the descriptor that looks."""
    gc.collect()
    named = [
        (path.name, str(path.readlink()))
        for path in Path("/proc/self/fd").glob("*")
        if path.is_symlink()
    ]
    return {(name, target) for name, target in named if not target.startswith("/proc/")}


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("echo done", ""),
        ("echo out; exit 5", "it left with status 5\nout"),
        ("echo out; kill -11 $$", "it died of SIGSEGV\nout"),
        ("echo out; kill -35 $$", "it died of signal 35\nout"),
    ],
)
def test_its_end_is_told(tmp_path: Path, sides: Sides, command: str, text: str) -> None:
    sides.begin(command, program(tmp_path))
    result = sides.ended()
    assert (result.ok, result.text) == (not text, text)
    assert 0 < result.secs < PATIENCE_SECS


def test_the_end_of_a_long_output_is_kept(tmp_path: Path, sides: Sides) -> None:
    """It neither blocks who prints it nor is it kept whole; what is no text is replaced."""
    script = (
        "import sys; sys.stdout.buffer.write(b'x' * 20_000_000 + b'\\n\\xff\\n')\n"
        "for n in range(100): print(n)\n"
        "sys.exit(7)"
    )
    (tmp_path / "script.py").write_text(script)
    sides.begin(f"{sys.executable} script.py", program(tmp_path))
    result = sides.ended()
    lines = [str(n) for n in range(88, 100)]
    assert result.text.splitlines() == ["it left with status 7", *lines]
    assert len(result.output) <= 64 * 1024 and "\ufffd" in result.output


def test_one_that_hangs_is_killed_with_what_it_started(tmp_path: Path, sides: Sides) -> None:
    secs = round(patience())
    command = "trap '' TERM ABRT; echo on; sleep 500 & echo $!; wait"
    sides.begin(command, program(tmp_path), secs)
    result = sides.ended()
    first, said, child = result.text.splitlines()
    assert (result.ok, first, said) == (False, f"it had not ended within {secs} s", "on")
    wait_until(lambda: is_gone(int(child)), PATIENCE_SECS, "its child is gone")


def test_what_it_leaves_behind_ends_with_it(tmp_path: Path, sides: Sides) -> None:
    sides.begin("sleep 500 & echo $!", program(tmp_path))
    child = int(sides.ended().output)
    wait_until(lambda: is_gone(child), PATIENCE_SECS, "its child is gone")


def test_dropping_ends_it(tmp_path: Path, sides: Sides) -> None:
    sides.begin("sleep 500", program(tmp_path))
    (child,) = psutil.Process().children()
    sides.drop("web")
    assert is_gone(child.pid)
    assert sides.poll() == []


def test_it_ends_with_the_listener(tmp_path: Path) -> None:
    """Even with one that is killed, which closes nothing."""
    command = "echo $$ > pid.new; mv pid.new pid; exec sleep 500"
    script = (
        "import selectors, signal\n"
        "from supervisor_roll.listener.side_processes.side_processes import SideProcesses\n"
        "from supervisor_roll.wire.program import Program\n"
        "sides = SideProcesses(selectors.DefaultSelector())\n"
        f"sides.command('web', {command!r}, {program(tmp_path)!r}, '', 600)\n"
        "signal.pause()\n"
    )
    listener = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        wait_until((tmp_path / "pid").exists, PATIENCE_SECS, "it has said its pid")
    finally:
        listener.kill()
        listener.wait()
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: is_gone(pid), PATIENCE_SECS, "it is gone")


def test_it_has_what_the_program_has_and_nothing_of_ours(
    tmp_path: Path, sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, directory and umask; no input, no descriptors, and a session of its own."""
    monkeypatch.setenv("LISTENERS_OWN", "secret")
    script = (
        "import os, sys\n"
        "umask = os.umask(0)\n"
        "names = ('COLOUR', 'LISTENERS_OWN', 'SUPERVISOR_ROLL_PROGRAM', 'SUPERVISOR_ROLL_WHY')\n"
        "open('said', 'w').write(repr([os.getcwd(), oct(umask), *map(os.environ.get, names),"
        " sys.stdin.read(), os.path.exists('/proc/self/fd/200'), os.getsid(0) == os.getpid()]))\n"
    )
    (tmp_path / "script.py").write_text(script)
    reader, writer = os.pipe()
    os.dup2(writer, 200, inheritable=True)
    try:
        of = program(tmp_path, umask=0o027, COLOUR="gr\udcffn")
        sides.begin(f"exec {sys.executable} script.py", of)
        assert sides.ended().text == ""
    finally:
        for one in (reader, writer, 200):
            os.close(one)
    assert (tmp_path / "said").read_text(errors="surrogateescape") == repr(
        [str(tmp_path), "0o27", "gr\udcffn", None, "web", "itfailed", "", False, True]
    )


def test_what_cannot_be_run_says_so(tmp_path: Path, sides: Sides) -> None:
    with pytest.raises(NotPossible, match=r"cannot run true: .*No such file or directory"):
        sides.begin("true", program(tmp_path / "nosuch"))


@pytest.mark.parametrize("variable", ["A=B", "A\0"])
def test_nor_can_what_has_an_environment_that_is_none(
    tmp_path: Path, sides: Sides, variable: str
) -> None:
    with pytest.raises(NotPossible, match="cannot run true: "):
        sides.begin("true", program(tmp_path, **{variable: "1"}))


def test_a_signal_is_not_for_who_started_it(tmp_path: Path, sides: Sides) -> None:
    """Its group is its own: what ends it does not end the listener."""
    before = signal.getsignal(signal.SIGTERM)
    sides.begin("kill -9 0", program(tmp_path))
    assert sides.ended().text == "it died of SIGKILL"
    assert signal.getsignal(signal.SIGTERM) == before


class Odd:
    """One that goes wrong as nobody foresaw."""

    next_deadline = None

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def poll(self) -> None:
        raise OverflowError("odd")

    def close(self) -> None:
        os.close(self._fd)


def test_one_that_goes_wrong_costs_no_other(tmp_path: Path, sides: Sides) -> None:
    odd: Any = Odd(os.eventfd(0))
    sides._running["odd"] = odd
    sides.selector.register(odd, selectors.EVENT_READ)
    sides.begin("sleep 1", program(tmp_path))
    ((namespec, result),) = sides.poll()
    assert (namespec, result.ok) == ("odd", False)
    assert sides.ended().ok
