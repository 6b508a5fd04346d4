"""The small process that a listener with nothing to do executes in its own place."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.processes import command_line
from tests.harness.waiting import wait_until

A_LISTENER = Path(__file__).with_name("a_listener.py")
ROOT = Path(__file__).parents[3]
ANSWER = b"RESULT 2\nOKREADY\n"
MOST_KIB = 6 * 1024


def event(name: str, payload: str = "when:1") -> bytes:
    return f"ver:3.0 eventname:{name} len:{len(payload)}\n{payload}".encode()


TICK = event("TICK_5")


class StandIn:
    """``python`` is what it executes, and is to execute again."""

    def __init__(
        self, folder: Path, watched: int = 0, look_secs: float = 0.0, python: str = sys.executable
    ) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "SUPERVISOR_ROLL_TOKEN": "secret",
        }
        # To compile what it imports takes it 2 MiB: what is installed is compiled.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.arguments = [str(A_LISTENER), str(folder), str(watched), str(look_secs)]
        (folder / "watched").write_text("before")
        self.process = subprocess.Popen(
            [python, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=self.environment,
            umask=0o027,
            bufsize=0,
        )
        wait_until(lambda: self.stands_in, 30, "it stands in", 0.01)

    @property
    def stands_in(self) -> bool:
        return any(b"stand_in" in one for one in command_line(self.process.pid))

    @property
    def state(self) -> str:
        time.sleep(0.005)
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    @property
    def path(self) -> Path:
        return self.folder / "sockets" / "0"

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def answered(self, times: int = 1) -> None:
        """It has acknowledged so many events."""
        assert self.process.stdout is not None
        data = b""
        while len(data) < len(ANSWER) * times:
            more = os.read(self.process.stdout.fileno(), len(ANSWER) * times - len(data))
            assert more, "it has ended"
            data += more
        assert data == ANSWER * times

    def send(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(b"said", str(self.path))

    def woken(self) -> dict[str, Any]:
        """What it finds when it is executed again."""
        assert self.process.stderr is not None
        assert self.process.wait(60) == 0, self.process.stderr.read()
        return json.loads((self.folder / "woken").read_text())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="roll") as folder:
        yield Path(folder)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., StandIn]]:
    started: list[StandIn] = []

    def start(**options: Any) -> StandIn:
        started.append(StandIn(folder, **options))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_it_is_small_and_answers_ticks(start: Callable[..., StandIn]) -> None:
    stand_in = start()
    for _ in range(20):
        stand_in.write(TICK)
        stand_in.answered()
    stand_in.write(TICK[:1])
    stand_in.write(TICK[1:] + TICK)
    stand_in.answered(2)
    assert stand_in.stands_in
    sizes = Path(f"/proc/{stand_in.process.pid}/smaps_rollup").read_text().split()
    assert int(sizes[sizes.index("Pss:") + 1]) < MOST_KIB


def test_what_is_said_waits_in_the_queue_and_all_is_as_it_was(
    start: Callable[..., StandIn], folder: Path
) -> None:
    stand_in = start()
    stand_in.send()
    woken = stand_in.woken()
    assert woken["received"] == "said"
    assert woken["pid"] == stand_in.process.pid
    assert woken["environment"] == stand_in.environment
    assert woken["arguments"] == [sys.executable, *stand_in.arguments]
    assert (woken["folder"], woken["umask"]) == (str(folder.resolve()), 0o027)
    assert woken["inheritable"] == []
    assert {*woken["descriptors"]} == {*map(str, (0, 1, 2, *woken["own"]))}


def said(stand_in: StandIn) -> None:
    stand_in.send()


def lost_events(stand_in: StandIn) -> None:
    for serial in (7, 9):
        stand_in.write(f"ver:3.0 poolserial:{serial} eventname:TICK_5 len:0\n".encode())
    stand_in.answered(2)


def another_event(stand_in: StandIn) -> None:
    stand_in.write(TICK + event("PROCESS_STATE_EXITED", "processname:wéb") + TICK)
    stand_in.answered(3)


def a_request(stand_in: StandIn) -> None:
    stand_in.write(event("REMOTE_COMMUNICATION"))
    stand_in.answered()


def a_changed_file(stand_in: StandIn) -> None:
    (stand_in.folder / "watched").write_text("afterwards")
    stand_in.write(TICK)


def a_new_file(stand_in: StandIn) -> None:
    (stand_in.folder / "missing").touch()
    stand_in.write(TICK)


def a_socket_that_is_gone(stand_in: StandIn) -> None:
    stand_in.path.unlink()
    stand_in.write(TICK)


def a_socket_that_is_open_to_others(stand_in: StandIn) -> None:
    stand_in.path.chmod(0o666)
    stand_in.write(TICK)


def another_folder(stand_in: StandIn) -> None:
    stand_in.path.parent.rename(stand_in.folder / "away")
    shutil.copytree(stand_in.folder / "away", stand_in.path.parent, ignore=lambda *_: ["0"])
    stand_in.write(TICK)


@pytest.mark.parametrize(
    "happens",
    [
        said,
        another_event,
        lost_events,
        a_request,
        a_changed_file,
        a_new_file,
        a_socket_that_is_gone,
        a_socket_that_is_open_to_others,
        another_folder,
    ],
    ids=lambda one: one.__name__,
)
def test_it_becomes_the_listener_again_when_something_happens(
    start: Callable[..., StandIn], happens: Callable[[StandIn], None]
) -> None:
    stand_in = start()
    stand_in.write(TICK)
    stand_in.answered()
    assert stand_in.stands_in
    happens(stand_in)
    stand_in.woken()


def test_it_becomes_the_listener_again_when_a_process_ends(start: Callable[..., StandIn]) -> None:
    with subprocess.Popen(["sleep", "1000"]) as watched:
        stand_in = start(watched=watched.pid)
        stand_in.write(TICK)
        stand_in.answered()
        assert stand_in.stands_in
        watched.kill()
        woken = stand_in.woken()
    assert not [one for one in woken["descriptors"].values() if "pidfd" in one]


def test_it_looks_at_files_between_the_ticks(start: Callable[..., StandIn], folder: Path) -> None:
    stand_in = start(look_secs=0.05)
    (folder / "watched").write_text("afterwards")
    stand_in.woken()


def test_it_never_changes_in_the_middle_of_an_event(start: Callable[..., StandIn]) -> None:
    stand_in = start()
    for half in (TICK[:-1], b"ver:3.0 eventname:TICK_5 len:1\n\xc3"):
        stand_in.write(half)
    stand_in.answered()  # the first, which the second has completed
    stand_in.send()
    time.sleep(0.3)  # it has time to make the mistake
    assert stand_in.stands_in
    stand_in.write(b"\xa9")
    stand_in.answered()
    assert stand_in.woken()["received"] == "said"


def test_it_waits_for_a_python_that_has_gone(start: Callable[..., StandIn], folder: Path) -> None:
    python = folder / "python"
    python.symlink_to(Path(sys.executable).resolve())
    stand_in = start(python=str(python))
    python.unlink()
    stand_in.send()
    assert stand_in.process.stderr is not None
    line = stand_in.process.stderr.readline().decode()
    assert f"ERROR cannot execute {python}" in line
    for _ in range(3):
        stand_in.write(TICK)
        stand_in.answered()
    wait_until(lambda: {stand_in.state for _ in range(20)} == {"S"}, 30, "it waits, and not busily")
    assert stand_in.stands_in
    python.symlink_to(Path(sys.executable).resolve())
    assert stand_in.woken()["received"] == "said"
    assert stand_in.process.stderr.read() == b""


def test_it_ends_with_supervisord(start: Callable[..., StandIn]) -> None:
    stand_in = start()
    assert stand_in.process.stdin is not None
    stand_in.process.stdin.close()
    assert stand_in.process.wait(30) == 0


def test_it_ends_when_nobody_reads_its_answers(start: Callable[..., StandIn]) -> None:
    stand_in = start()
    assert stand_in.process.stdout is not None
    stand_in.process.stdout.close()
    stand_in.write(TICK)
    assert stand_in.process.wait(30) == 1


def test_it_ends_when_it_is_stopped(start: Callable[..., StandIn]) -> None:
    stand_in = start()
    stand_in.process.terminate()
    assert stand_in.process.wait(30) == -signal.SIGTERM
