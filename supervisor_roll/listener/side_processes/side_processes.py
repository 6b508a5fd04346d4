"""What runs beside the rollouts: the commands of ``on_failure`` and ``release``.

The loop wakes when one of them has something to say, and the next ``poll`` takes it.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable
from selectors import EVENT_READ, BaseSelector

from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.side_processes.process import (
    NotPossible,
    Result,
    SideProcess,
    started,
    started_as,
)
from supervisor_roll.wire.program import Program

log = logging.getLogger("supervisor_roll")

# What a selector's key has as its data for one of these.
SIDE = "side"


class SideProcesses:
    """One process for a program at the most, by its namespec."""

    def __init__(self, selector: BaseSelector, clock: Callable[[], float] = time.monotonic) -> None:
        self._selector, self._clock = selector, clock
        self._running: dict[str, SideProcess] = {}

    def command(
        self,
        namespec: str,
        command: str,
        program: Program,
        why: str,
        timeout_secs: float,
        worker: int = 0,
        uid: int = -1,
        directory: str = "",
    ) -> None:
        """Run a shell command in the program's directory, as this listener's or ``worker``'s user.

        Or in this ``directory``, if that user may enter it: the worker has told it.
        It finds SUPERVISOR_ROLL_PROGRAM and SUPERVISOR_ROLL_WHY in its environment, beside the
        program's own. What it leaves in the background ends with it. Raises NotPossible.
        """
        environment = {
            **program.environment,
            "SUPERVISOR_ROLL_PROGRAM": namespec,
            "SUPERVISOR_ROLL_WHY": why.replace("\0", "")[:4096],
        }
        wanted = _as(worker, uid) if worker else None
        try:
            if wanted is None:
                process = started(command, program.directory, environment, program.umask)
            else:
                directories = [one for one in (directory, program.directory) if one]
                process = started_as(wanted, command, directories, environment, program.umask)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise NotPossible(f"cannot run {command}: {error}") from error
        self.drop(namespec)
        self._running[namespec] = side = SideProcess(process, timeout_secs, self._clock)
        self._selector.register(side.fileno(), EVENT_READ, SIDE)

    def drop(self, namespec: str) -> None:
        """End the program's process, if there is one. Its result is of no use any more."""
        side = self._running.pop(namespec, None)
        if side is not None:
            self._selector.unregister(side.fileno())
            side.close()

    def poll(self) -> list[tuple[str, Result]]:
        """Those that have ended since, with how."""
        ended = []
        for namespec, side in list(self._running.items()):
            try:
                result = side.poll()
            except Exception as error:
                log.exception("%s", namespec)
                result = Result(False, 0.0, f"it could not be followed: {error!r:.200}")
            if result is not None:
                ended.append((namespec, result))
                self.drop(namespec)
        return ended

    @property
    def running(self) -> bool:
        return bool(self._running)

    def next_deadline(self) -> float | None:
        return min(
            (one.next_deadline for one in self._running.values() if one.next_deadline is not None),
            default=None,
        )


def _as(worker: int, uid: int) -> Credentials:
    """As whom the worker that spoke as ``uid`` (-1: not known) runs. Raises NotPossible."""
    found = Credentials.of_worker(worker, uid)
    if found is None:
        raise NotPossible(f"worker {worker} has gone, or acts as another user than it spoke as")
    return found
