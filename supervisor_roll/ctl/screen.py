"""Where lines go: supervisorctl's standard output; on a terminal with what is under way below."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from supervisor_roll.ctl.progress import Progress
from supervisor_roll.ctl.render.objects import Object
from supervisor_roll.ctl.render.text import INDENT, clean, moment
from supervisor_roll.ctl.render.timeline import coloured
from supervisor_roll.ctl.render.workers import worker_lines
from supervisor_roll.rollout.words import FAILED
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import Report
from supervisor_roll.wire.workers import Workers

if TYPE_CHECKING:
    from supervisor_roll.ctl.bottom import OneLine
    from supervisor_roll.ctl.live import Table


# So many lines are shown again on a terminal that has another size.
_KEPT = 200


class ReaderLeft(Exception):
    """Nobody reads our output any more."""


class Screen:
    """Lines, each flushed so that a pipe's reader sees it at once; below them what is under way.

    What there is an object of goes to ``objects`` as that, if these are asked for. Where no
    terminal shows them, lines begin with their time from ``log`` on.
    """

    def __init__(self, stdout: TextIO, objects: TextIO | None = None) -> None:
        self._stdout, self._objects = stdout, objects
        self._bottom: OneLine | Table | None = None
        self._said: deque[str] = deque(maxlen=_KEPT)
        self._progress = Progress()
        self.workers = Workers()
        self._terminal = stdout.isatty() and objects is None
        self._encoding = getattr(stdout, "encoding", None) or "utf-8"
        self._unicode = self._encoding.lower().startswith("utf")
        self._stamps = False

    def log(self) -> None:
        """From now on lines tell of what goes on, and not of what was asked."""
        self._stamps = not self._terminal and self._objects is None

    def say(self, line: str, at: float | None = None) -> None:
        """Print one line, above what is under way. Raises ReaderLeft.

        ``at``: when it came about, in seconds since the epoch; None: now.
        """
        if self._stamps and line and not line.startswith(INDENT):  # which continues another one
            line = f"{moment(time.time() if at is None else at)} {line}"
        self._write(self._stdout, self._fit(line))

    def tell(self, lines: Iterable[str], *objects: Object, at: float | None = None) -> None:
        """Print the objects if these are asked for, and else the lines. Raises ReaderLeft."""
        if self._objects is None:
            for line in lines:
                self.say(line, at)
        else:
            for one in objects:
                self._write(self._objects, to_json(one))

    def draw(self, picture: Callable[[int, bool], list[str]]) -> None:
        """Print a picture, in colours on a terminal. Raises ReaderLeft.

        ``picture`` gives its lines for a number of columns; True: of ASCII only.
        """
        coloured_too = self._terminal and self._unicode and "NO_COLOR" not in os.environ
        for line in picture(shutil.get_terminal_size((100, 24)).columns, not self._unicode):
            line = self._fit(line)
            self._write(self._stdout, coloured(line) if coloured_too else line)

    def _fit(self, text: str) -> str:
        return clean(text).encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _write(self, stream: TextIO, line: str) -> None:
        self._said.append(line)
        try:
            if self._bottom is not None:
                self._bottom.write(line)
            else:
                stream.write(line + "\n")
            stream.flush()
        except BrokenPipeError:
            _swallow(stream)
            raise ReaderLeft from None

    def redraw(self, lines: list[str]) -> bool:
        """Show these lines and nothing else, as far as they fit; False: it is no such terminal."""
        if not self._terminal or not _moves(self._stdout):
            return False
        columns, rows = os.get_terminal_size(self._stdout.fileno())
        shown = [f"{self._fit(line)[: columns - 1]}\x1b[K" for line in lines[: rows - 1]]
        self._write(self._stdout, "\x1b[H" + "\r\n".join(shown) + "\x1b[J")
        return True

    def follow(self, report: Report) -> None:
        """Show what ``report`` says of its program's progress."""
        self._progress.take(report, time.monotonic())
        self.tick()

    @property
    def watched(self) -> list[str]:
        """The programs whose ``workers`` are to be shown."""
        return self._progress.programs if self._bottom and self._bottom.height > 1 else []

    def tick(self) -> None:
        """Draw what is under way as it is now."""
        if not self._progress.programs or not self._terminal:
            self._wipe()
            return
        if self._bottom is None:
            self._bottom = self._made()
        shown = {name: self.workers.programs.get(name, []) for name in self._progress.programs}
        boots = [one.boot_secs for lives in shown.values() for one in lives if one.boot_secs]
        full = "\u2588" if self._unicode else "#"
        bar = self._progress.line(time.monotonic(), boots, full)
        below = [*((one, FAILED) for one in self._progress.broken), (bar, "")]
        lines = [*worker_lines(shown, time.time(), self._bottom.height - len(below)), *below]
        self._bottom.draw([(self._fit(text), state) for text, state in lines])

    def _made(self) -> OneLine | Table:
        # Imported here since every supervisorctl command loads this plugin.
        if _moves(self._stdout):
            with suppress(ImportError):
                from supervisor_roll.ctl.live import Table

                return Table(self._stdout, self._said)
        from supervisor_roll.ctl.bottom import OneLine

        return OneLine(self._stdout)

    def close(self) -> None:
        """Wipe away what is under way; what was said stays."""
        self._progress = Progress()
        self._wipe()

    def _wipe(self) -> None:
        if self._bottom is not None:
            self._bottom.close()
            self._bottom = None


def _moves(stream: TextIO) -> bool:
    """Whether it is a terminal with a cursor that can be moved."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return False
    with suppress(OSError, ValueError):  # not each stream has a descriptor
        return os.isatty(stream.fileno())
    return False


def _swallow(stream: TextIO) -> None:
    """Let what is written from now on go nowhere: Python flushes once more at its exit."""
    with suppress(OSError, ValueError):  # not each stream has a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
