"""A command on a terminal of its own: what is typed, and what stands there."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Sequence

import pyte

from tests.harness.processes import die_with_parent
from tests.harness.waiting import wait_until


class Terminal:
    """Runs ``args`` on a terminal of so many rows and columns, with more of an environment."""

    def __init__(
        self, args: Sequence[str], rows: int = 24, columns: int = 100, **environment: str
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._end, other = pty.openpty()
        self.written = b""
        self._ended = False
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            args,
            stdin=other,
            stdout=other,
            stderr=other,
            env={**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", **environment},
            start_new_session=True,
            preexec_fn=_control,
        )
        os.close(other)
        os.set_blocking(self._end, False)

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """What stands there stays, cut to the new size."""
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        """What stands there now, without empty lines at its end."""
        try:
            while data := os.read(self._end, 65536):
                self.written += data
                self._stream.feed(data)
        except BlockingIOError:
            pass
        except OSError:  # EIO: nobody has it open any more, and all is read
            self._ended = True
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    def wait_shows(self, text: str, deadline_secs: float = 30.0) -> list[str]:
        """Wait until ``text`` stands there in one line; all that does then."""

        def shown() -> list[str] | None:
            lines = self.lines
            return lines if any(text in line for line in lines) else None

        try:
            return wait_until(shown, deadline_secs)
        except AssertionError:
            raise AssertionError(f"no {text!r} in:\n" + "\n".join(self.lines)) from None

    def wait_ends(self, deadline_secs: float = 60.0) -> int:
        """Wait for its end, and read all that it has written; its exit status."""
        wait_until(lambda: self.lines and self._ended, deadline_secs)
        return self.process.wait(deadline_secs)

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        os.close(self._end)


def _control() -> None:
    """Make the terminal that of the session: Ctrl-C and a new size are signalled."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    die_with_parent()
