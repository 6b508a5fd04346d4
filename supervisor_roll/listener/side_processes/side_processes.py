"""What runs beside the rollouts: the commands of ``on_failure`` and ``release``.

The loop wakes when one of them has something to say, and the next ``poll`` takes it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from selectors import EVENT_READ, BaseSelector

from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.side_processes.process import (
    NotPossible,
    Result,
    SideProcess,
    die_with_us,
    user_arguments,
)
from supervisor_roll.wire.program import Program

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
    ) -> None:
        """Run a shell command in the program's directory, as this listener's or ``worker``'s user.

        It finds SUPERVISOR_ROLL_PROGRAM and SUPERVISOR_ROLL_WHY in its environment, beside the
        program's own. What it leaves in the background ends with it. Raises NotPossible.
        """
        user = user_arguments(_as(worker, uid)) if worker else {}
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=program.directory,
                env={
                    **program.environment,
                    "SUPERVISOR_ROLL_PROGRAM": namespec,
                    "SUPERVISOR_ROLL_WHY": why.replace("\0", "")[:4096],
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                umask=program.umask,
                start_new_session=True,
                bufsize=0,
                preexec_fn=die_with_us(),
                **user,
            )
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
            result = side.poll()
            if result is not None:
                ended.append((namespec, result))
                self.drop(namespec)
        return ended

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
