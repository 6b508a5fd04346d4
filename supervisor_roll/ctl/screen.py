"""Where lines go: supervisorctl's standard output, with a progress bar if it is a terminal."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from supervisor_roll.ctl.render.objects import Object
from supervisor_roll.ctl.render.text import INDENT, clean, moment
from supervisor_roll.ctl.render.timeline import coloured
from supervisor_roll.rollout.reports import ENDS, Arrived, Began, Replaced
from supervisor_roll.rollout.words import ARBITER
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import Report

if TYPE_CHECKING:
    from supervisor_roll.ctl.progress_bar import Bar


class ReaderLeft(Exception):
    """Nobody reads our output any more."""


class Screen:
    """Lines, each flushed so that a pipe's reader sees it at once; below them one bar.

    What there is an object of goes to ``objects`` as that, if these are asked for. Where no
    terminal shows them, lines begin with their time from ``log`` on.
    """

    def __init__(self, stdout: TextIO, objects: TextIO | None = None) -> None:
        self._stdout, self._objects = stdout, objects
        self._bar: Bar | None = None
        self._progress: dict[str, tuple[int, int]] = {}  # of what is under way: done, total
        self._terminal = stdout.isatty() and objects is None
        self._stamps = False

    def log(self) -> None:
        """From now on lines tell of what goes on, and not of what was asked."""
        self._stamps = not self._terminal and self._objects is None

    def say(self, line: str, at: float | None = None) -> None:
        """Print one line, above the bar if there is one. Raises ReaderLeft.

        ``at``: when it came about, in seconds since the epoch; None: now.
        """
        if self._stamps and line and not line.startswith(INDENT):  # which continues another one
            line = f"{moment(time.time() if at is None else at)} {line}"
        encoding = getattr(self._stdout, "encoding", None) or "utf-8"
        line = clean(line).encode(encoding, "backslashreplace").decode(encoding)
        self._write(self._stdout, line)

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
        encoding = getattr(self._stdout, "encoding", None) or "utf-8"
        ascii_only = not encoding.lower().startswith("utf")
        coloured_too = self._terminal and not ascii_only and "NO_COLOR" not in os.environ
        for line in picture(shutil.get_terminal_size((100, 24)).columns, ascii_only):
            self._write(self._stdout, coloured(clean(line)) if coloured_too else clean(line))

    def _write(self, stream: TextIO, line: str) -> None:
        try:
            if self._bar is not None:
                self._bar.write(line, file=stream)
            else:
                stream.write(line + "\n")
            stream.flush()
        except BrokenPipeError:
            _swallow(stream)
            raise ReaderLeft from None

    def follow(self, report: Report) -> None:
        """Let the bar show what ``report`` says of its program's progress."""
        facts, program = report.content, report.program
        if isinstance(facts, Began) and self._terminal:
            if not self._progress.keys() - {program}:
                self.close()
            # A successor has as many workers as are wanted, whatever runs now.
            total = facts.desired if facts.strategy == ARBITER else facts.workers
            self._progress[program] = 0, total
            self._show_progress()
        elif isinstance(facts, Replaced | Arrived) and program in self._progress:
            self._progress[program] = facts.done, self._progress[program][1]
            self._show_progress()
        elif report.kind in ENDS and self._progress.pop(program, None) is not None:
            self._show_progress()

    def _show_progress(self) -> None:
        """Draw one bar for all that is under way."""
        if not self._progress:
            self.close()
            return
        first, *others = self._progress
        about = f"{len(self._progress)} programs" if others else first
        done, total = map(sum, zip(*self._progress.values(), strict=True))
        if self._bar is not None:
            self._bar.n, self._bar.total = done, total
            self._bar.set_description_str(about)
            return
        # Imported here since every supervisorctl command loads this plugin.
        from supervisor_roll.ctl.progress_bar import Bar

        self._bar = Bar(
            initial=done,
            total=total,
            desc=about,
            file=self._stdout,
            leave=False,
            dynamic_ncols=True,
            mininterval=0,
            bar_format="{desc}  {n_fmt}/{total_fmt} workers  |{bar:30}|  {elapsed}",
        )

    def tick(self) -> None:
        """Keep the bar's clock going."""
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Wipe the bar away; what was said stays."""
        self._progress.clear()
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _swallow(stream: TextIO) -> None:
    """Let what is written from now on go nowhere: Python flushes once more at its exit."""
    with suppress(OSError, ValueError):  # not each stream has a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
