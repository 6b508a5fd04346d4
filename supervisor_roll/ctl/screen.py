"""Where lines go: supervisorctl's standard output, with a progress bar if it is a terminal."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from supervisor_roll.ctl.render.text import clean
from supervisor_roll.rollout.reports import ENDS, Arrived, Began, Replaced
from supervisor_roll.rollout.words import ARBITER
from supervisor_roll.wire.mailbox import Report

if TYPE_CHECKING:
    from supervisor_roll.ctl.progress_bar import Bar


class ReaderLeft(Exception):
    """Nobody reads our output any more."""


class Screen:
    """Lines, each flushed so that a pipe's reader sees it at once; below them one bar."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout
        self._bar: Bar | None = None
        self._progress: dict[str, tuple[int, int]] = {}  # of what is under way: done, total
        self._terminal = stdout.isatty()

    def say(self, line: str) -> None:
        """Print one line, above the bar if there is one. Raises ReaderLeft."""
        encoding = getattr(self._stdout, "encoding", None) or "utf-8"
        line = clean(line).encode(encoding, "backslashreplace").decode(encoding)
        try:
            if self._bar is not None:
                self._bar.write(line, file=self._stdout)
            else:
                self._stdout.write(line + "\n")
            self._stdout.flush()
        except BrokenPipeError:
            self._swallow()
            raise ReaderLeft from None

    def _swallow(self) -> None:
        """Let what is written from now on go nowhere: Python flushes once more at its exit."""
        with suppress(OSError, ValueError):  # not each stream has a descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stdout.fileno())
            finally:
                os.close(nowhere)

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
