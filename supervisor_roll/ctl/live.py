"""What stands below the lines on a terminal where rich is installed: a row for each worker."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from supervisor_roll.ctl.render.workers import OUTDATED, Line
from supervisor_roll.rollout.words import BAKING, BOOTING, DRAINING, FAILED, READY

_STYLES = {
    FAILED: "bold red",
    BOOTING: "yellow",
    BAKING: "cyan",
    DRAINING: "magenta",
    OUTDATED: "dim",
    READY: "green",
}


class Table:
    """Shows as many lines as fit; ``above`` are the last ones that were said before."""

    def __init__(self, stream: TextIO, above: Sequence[str]) -> None:
        self._stream = stream
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._above = above
        self._lines: list[Line] = []
        self._live = self._begun()

    def _begun(self) -> Live:
        self._size = self._size_now()
        columns, lines = self._size
        # Room for the ^C that a terminal echoes: what it has to break moves all below it.
        self._console.size = ConsoleDimensions(max(columns - 3, 1), lines)
        # Without a thread, and without a change of sys.stdout: this is a guest in supervisorctl.
        live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        self._console.show_cursor(True)  # what kills us shall not leave the terminal without one
        return live

    def _size_now(self) -> tuple[int, int]:
        try:
            return os.get_terminal_size(self._stream.fileno())
        except OSError:  # it is gone
            return 80, 24

    @property
    def height(self) -> int:
        """How many lines may be drawn: two thirds of the terminal."""
        return self._size_now()[1] * 2 // 3

    def write(self, text: str) -> None:
        """Print ``text`` above it."""
        self._console.print(Text(text), soft_wrap=True)

    def draw(self, lines: list[Line]) -> None:
        if not self._redrawn() and lines == self._lines:
            return
        self._lines = lines
        texts = (
            Text(text, _STYLES.get(state, ""), no_wrap=True, overflow="ellipsis")
            for text, state in lines
        )
        self._live.update(Group(*texts), refresh=True)

    def close(self) -> None:
        """Wipe it away."""
        self._redrawn()
        self._live.stop()

    def _redrawn(self) -> bool:
        """Begin again on a clear screen if the size is another: who knows what it made of it."""
        if self._size_now() == self._size:
            return False
        self._live.stop()
        self._console.clear()
        for text in self._above:
            self._console.print(Text(text), soft_wrap=True)
        self._live = self._begun()
        return True
