"""On a terminal a bar stands below the lines, and leaves them intact."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios

import pytest

from supervisor_roll.ctl.screen import Screen
from supervisor_roll.wire.mailbox import Report
from tests.ctl.script import BEGAN, COMPLETE_OUTPUT, complete
from tests.rpc.supervised import Supervised, wait_for


@pytest.fixture
def terminal() -> tuple[int, int]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    return master, slave


def screen(written: str) -> list[str]:
    """What stands on a terminal after ``written``, of which only CR, LF and text are known."""
    lines, column = [""], 0
    for char in written:
        if char == "\r":
            column = 0
        elif char == "\n":
            lines.append("")
        else:
            assert char.isprintable(), repr(char)
            lines[-1] = lines[-1][:column].ljust(column) + char + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def test_a_bar_shows_the_progress_and_is_gone_at_the_end(
    site: Supervised, terminal: tuple[int, int]
) -> None:
    master, slave = terminal
    site.script(
        ["report", "myapp", "began", BEGAN],
        complete("myapp")[1],
        ["until", "half"],
        *complete("myapp")[2:],
        ["done"],
    )
    roll = subprocess.Popen(
        site.ctl_command("rollrestart", "myapp"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "dumb", "LANG": "C.UTF-8"},
    )
    os.close(slave)
    os.set_blocking(master, False)
    written = b""

    def read() -> str:
        nonlocal written
        try:
            written += os.read(master, 65536)
        except BlockingIOError:
            pass
        except OSError:  # EIO: the other end is closed
            if roll.poll() is None:
                raise
        return written.decode("utf-8", "ignore")

    try:
        wait_for(lambda: "myapp  1/2 workers  |" in read())
        half = [line for line in screen(read()) if line]
        assert half[:2] == COMPLETE_OUTPUT.format("myapp").splitlines()[:2]
        assert half[2].startswith("myapp  1/2 workers  |\u2588")
        assert len(half) == 3
        site.allow("half")
        wait_for(lambda: (read(), roll.poll() is not None)[1])
        wait_for(lambda: "complete: 2 workers" in read())
    finally:
        roll.kill()
        roll.wait()
        os.close(master)
    assert roll.returncode == 0
    assert screen(written.decode())[:-1] == COMPLETE_OUTPUT.format("myapp").splitlines()
    assert screen(written.decode())[-1] == ""


def test_of_programs_that_are_rolled_at_once_one_bar_shows_the_sum() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    shown = Screen(out)

    def bar_after(program: str, kind: str, **facts: object) -> str:
        shown.follow(Report("1", program, kind, facts))
        lines = [line.partition("|")[0].strip() for line in out.getvalue().split("\r")]
        return lines[-1]

    assert bar_after("a", "began", workers=4) == "a  0/4 workers"
    assert bar_after("b", "began", workers=2) == "2 programs  0/6 workers"
    assert bar_after("a", "replaced", done=1) == "2 programs  1/6 workers"
    assert bar_after("b", "replaced", done=2) == "2 programs  3/6 workers"
    assert bar_after("c", "refused") == "2 programs  3/6 workers"
    assert bar_after("b", "complete") == "a  1/4 workers"
    assert bar_after("a", "failed") == ""
    assert bar_after("c", "began", workers=1) == "c  0/1 workers"


def test_without_a_terminal_there_is_no_bar(site: Supervised) -> None:
    site.script(*complete("myapp"), ["done"])
    assert "|" not in site.ctl("rollrestart", "myapp")[1]


def test_nothing_that_is_shown_moves_the_cursor() -> None:
    out = io.StringIO()
    Screen(out).say("skipped: \x1b[2J\x07 \u202e")
    assert out.getvalue() == "skipped: ?[2J? ?\n"
