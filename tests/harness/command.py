"""A command that runs beside the test, what it has said so far, and what it comes to."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import NamedTuple

from tests.harness.venvs import CHECKOUT
from tests.harness.waiting import patience, wait_until

_STAMP = re.compile(r"^(supervisor> )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?=\S)", re.MULTILINE)


def unstamped(text: str) -> str:
    """What supervisorctl has said, without the times at which its lines of a log begin."""
    return _STAMP.sub(r"\1", text)


class Ran(NamedTuple):
    """What a command came to; ``output`` has its standard output and error."""

    status: int
    output: str


def run_script(name: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run ``scripts/NAME`` of the checkout, in the tests' own environment, to its end."""
    return subprocess.run(
        [sys.executable, CHECKOUT / "scripts" / name, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


class Command:
    """Runs ``args``; its standard output and error are read as one, as they come."""

    def __init__(self, args: Sequence[str]) -> None:
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            args,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_interruptible,
        )
        self._reader = threading.Thread(target=self._read, name="reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said until now."""
        return "".join(self._lines)

    def wait_says(self, text: str, deadline_secs: float = 30.0) -> str:
        """Wait until it has said ``text``; the first line that has it."""

        def line() -> str | None:
            ended = not self._reader.is_alive()
            found = next((line for line in list(self._lines) if text in line), None)
            if found is None and ended:
                raise AssertionError(f"it ended and never said {text!r}:\n{self.output}")
            return found

        return wait_until(line, deadline_secs, f"the command says {text!r}")

    def interrupt(self) -> None:
        """Send it SIGINT, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, deadline_secs: float = 90.0) -> Ran:
        """Wait for its end. AssertionError, with what it has said, if that does not come."""
        try:
            status = self._process.wait(deadline_secs * patience())
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {deadline_secs:g} s and more, having said:\n{self.output}"
            ) from None
        self._reader.join(deadline_secs)
        assert not self._reader.is_alive(), f"what it left keeps its output open:\n{self.output}"
        return Ran(status, self.output)

    def ends(self, status: int = 0, *says: str, deadline_secs: float = 90.0) -> str:
        """Wait for its end, which must have that status; all that it has said, with ``says``."""
        ran = self.wait(deadline_secs)
        assert ran.status == status, ran.output
        for text in says:
            assert text in ran.output, ran.output
        return ran.output

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            self._lines.extend(map(unstamped, stdout))


def _interruptible() -> None:
    # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
