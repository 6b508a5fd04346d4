"""Which release each worker runs: what ``release=`` says at the moment the worker is forked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from supervisor_roll.listener.knowledge import Arbiter, Worker
from supervisor_roll.listener.preflight import NotPossible, Result
from supervisor_roll.listener.sides import Sides
from supervisor_roll.wire.program import Program

log = logging.getLogger("supervisor_roll")

# What a command may take to tell the release.
COMMAND_SECS = 10.0
MOST = 80
_KEY = "release of "  # no namespec has a space


class Releases:
    """Notes the release on each worker; a command, which takes its time, runs beside."""

    def __init__(self, sides: Sides, program: Callable[[str], Program]) -> None:
        self._sides, self._program = sides, program
        self._asked: dict[str, Worker] = {}

    def forked(self, arbiter: Arbiter, worker: Worker, release: str) -> None:
        """``worker`` was forked just now; ``release`` is the setting."""
        found = release_at(release)
        if found is not None:
            worker.release = found
            return
        key = f"{_KEY}{worker.id.pid}"
        try:
            self._sides.command(key, release, self._program(arbiter.namespec), "", COMMAND_SECS)
            self._asked[key] = worker
        except NotPossible as error:
            log.warning("%s: release: %s", arbiter.namespec, error)

    def told(self, key: str, result: Result) -> bool:
        """A process beside has ended: whether it was one of ours, whose answer is noted now."""
        worker = self._asked.pop(key, None)
        if worker is None:
            return False
        worker.release = last_line(result.output) if result.ok else "?"
        if not result.ok:
            log.warning("release: %s", result.text)
        return True


def release_at(path: str) -> str | None:
    """The name of the target of a link, or the first line of a file.

    None if ``path`` is neither, and so is a command; "?" if it cannot be read.
    """
    place = Path(path)
    try:
        if place.is_symlink():
            return place.readlink().name[:MOST]
        if place.is_file():
            with place.open(errors="replace") as file:
                return file.readline(4096).strip()[:MOST]
    except OSError:
        return "?"
    return None


def last_line(output: str) -> str:
    """What a command that tells the release has printed last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:MOST] if lines else "?"
