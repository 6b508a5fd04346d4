"""What stands below the lines on a terminal while rollouts are under way: a line, by CR alone."""

from __future__ import annotations

import os
from typing import TextIO

from supervisor_roll.ctl.render.workers import Line


class OneLine:
    """Shows the last of its lines only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""

    @property
    def height(self) -> int:
        return 1

    def write(self, text: str) -> None:
        """Print ``text`` above it."""
        shown = self._shown
        self.close()
        self._stream.write(text + "\n")
        self.draw([(shown, "")])

    def draw(self, lines: list[Line]) -> None:
        # A line as long as the terminal is wide would begin the next one.
        text = lines[-1][0][: _columns(self._stream) - 1]
        if text != self._shown:
            self._stream.write("\r" + text.ljust(len(self._shown)))
            self._stream.flush()
            self._shown = text

    def close(self) -> None:
        """Wipe it away."""
        if self._shown:
            self._stream.write("\r" + " " * len(self._shown) + "\r")
            self._stream.flush()
            self._shown = ""


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 100
