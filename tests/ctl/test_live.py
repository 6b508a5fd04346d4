"""The rows below the lines where rich is installed, on a terminal whose end the test reads."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Iterator

import pyte
import pytest

from supervisor_roll.ctl.screen import Screen
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.wire.mailbox import Report
from supervisor_roll.wire.workers import Workers

_MARK = b"\0"


class Shown:
    """A Screen on a terminal of 60 columns, and what stands there."""

    def __init__(self) -> None:
        self._end, other = pty.openpty()
        self.stdout = os.fdopen(other, "w", encoding="utf-8")
        self._terminal = pyte.Screen(60, 24)
        self._stream = pyte.ByteStream(self._terminal)
        self.raw, self._fed = b"", 0
        self.resize(60, 24)
        self.screen = Screen(self.stdout)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._terminal.resize(lines, columns)

    def report(self, kind: str, **facts: object) -> None:
        self.screen.follow(Report("1", "myapp", kind, facts))

    @property
    def lines(self) -> list[str]:
        # What is written arrives in its order, but not at once.
        os.write(self.stdout.fileno(), _MARK)
        while not self.raw.endswith(_MARK):
            self.raw += os.read(self._end, 65536)
        self.raw = self.raw.removesuffix(_MARK)
        self._stream.feed(self.raw[self._fed :])
        self._fed = len(self.raw)
        return [line for one in self._terminal.display if (line := one.rstrip())]

    @property
    def cursor_hidden(self) -> bool:
        return bool(self._terminal.cursor.hidden)

    def close(self) -> None:
        self.screen.close()
        self.stdout.close()
        os.close(self._end)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    made = Shown()
    yield made
    made.close()


def workers(ready: int) -> Workers:
    lives = [WorkerLife(1, "booting"), WorkerLife(2, "draining", True, release="[b]v1[/b]")]
    return Workers({"myapp": [*lives, *(WorkerLife(10 + one, "ready") for one in range(ready))]})


def states(lines: list[str]) -> list[str]:
    """The first words of the lines below those that were said."""
    below = next((n for n, line in enumerate(lines) if line.startswith("STATE")), len(lines))
    return [line.split()[0] for line in lines[below:]]


def test_a_row_for_each_worker_stands_above_the_bar_and_is_gone_at_the_end(shown: Shown) -> None:
    shown.screen.say("myapp: rolling")
    shown.report("began", workers=3)
    assert shown.lines[1].startswith("myapp  0/3 workers  |")
    assert shown.screen.watched == ["myapp"]
    shown.screen.workers = workers(2)
    shown.report("replaced", done=1)
    assert states(shown.lines) == ["STATE", "booting", "draining", "ready", "ready", "myapp"]
    assert "[b]v1[/b]" in shown.lines[3]
    shown.screen.say("x" * 70)  # longer than the terminal is wide: it goes on in the next line
    assert shown.lines[:3] == ["myapp: rolling", "x" * 60, "x" * 10]
    assert states(shown.lines)[0] == "STATE"
    shown.report("broken", why="worker 1 failed\nOops")
    assert shown.lines[-2] == "myapp: worker 1 failed ..."
    assert not shown.cursor_hidden
    shown.report("failed")
    assert shown.lines == ["myapp: rolling", "x" * 60, "x" * 10]
    assert not shown.cursor_hidden
    assert b"\x1b[33mbooting" in shown.raw


def test_many_workers_take_two_thirds_of_the_terminal(shown: Shown) -> None:
    shown.report("began", workers=64)
    shown.screen.workers = workers(62)
    shown.screen.tick()
    assert len(shown.lines) == 16
    assert shown.lines[-2] == "and 51 more: 51 ready"
    assert states(shown.lines)[:3] == ["STATE", "booting", "draining"]


@pytest.mark.parametrize(("columns", "lines"), [(30, 24), (60, 9), (100, 40), (10, 3)])
def test_on_a_terminal_of_another_size_it_is_drawn_anew(
    shown: Shown, columns: int, lines: int
) -> None:
    shown.screen.say("said")
    shown.report("began", workers=3)
    shown.screen.workers = workers(3)
    shown.screen.tick()
    assert shown.lines
    shown.resize(columns, lines)
    shown.screen.tick()
    found = shown.lines
    assert found[0] == "said"
    assert found[-1].startswith("myapp  0/3"[: columns - 4])
    assert len([line for line in found if line.startswith("STATE")]) == (lines >= 9)
    shown.screen.close()
    assert shown.lines[:1] == ["said"]


def test_without_colours_if_that_is_wished(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown.report("began", workers=3)
    shown.screen.workers = workers(2)
    shown.screen.tick()
    assert states(shown.lines)[:2] == ["STATE", "booting"]
    assert b"\x1b[33m" not in shown.raw


def test_a_simple_terminal_has_one_line(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown.report("began", workers=3)
    assert shown.screen.watched == []
    shown.screen.workers = workers(2)
    shown.screen.say("said")
    assert [line.split()[0] for line in shown.lines] == ["said", "myapp"]
    shown.resize(10, 24)
    shown.report("replaced", done=1)
    shown.screen.close()
    assert b"\x1b" not in shown.raw
