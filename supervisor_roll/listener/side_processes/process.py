"""A command that runs beside the rollouts.

It costs the listener nothing to wait: ``fileno()`` can be selected on, and ``poll`` never
blocks. The command has no terminal, no standard input, nothing of the listener's descriptors,
a session of its own, and an end: at its deadline it is killed with all of its session. It does
not outlive the listener.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.rollout.errors import RollError

LINES = 12
KILLED_SECS = 1.0
# Of what it prints, the end is kept.
MAX_OUTPUT_BYTES = 64 * 1024
_PR_SET_PDEATHSIG = 1
_BECOME = Path(__file__).with_name("become.py")


class NotPossible(RollError):
    """It could not be started, which says nothing of the release; the text says why."""


@dataclass(frozen=True)
class Result:
    """How it ended. ``text`` is the reason, if any, with the end of ``output``, what it printed."""

    ok: bool
    secs: float
    text: str = ""
    output: str = ""


class SideProcess:
    """One that is under way. When ``poll`` has given its result: unregister it, then ``close``."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        timeout_secs: float,
        clock: Callable[[], float],
    ) -> None:
        self._process, self._clock, self._timeout_secs = process, clock, timeout_secs
        self._began = clock()
        self._late = False
        self._output = bytearray()
        self._result: Result | None = None
        assert process.stdout is not None
        self._pipe = process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._pidfd = os.pidfd_open(process.pid)
        # One descriptor to select on, for its output and its end.
        self._epoll = select.epoll()
        self._epoll.register(self._pipe, select.EPOLLIN)
        self._epoll.register(self._pidfd, select.EPOLLIN)

    @property
    def next_deadline(self) -> float | None:
        """When ``poll`` is due at the latest, on the clock."""
        return None if self._result or self._late else self._began + self._timeout_secs

    def fileno(self) -> int:
        """Readable whenever ``poll`` has something to do."""
        return self._epoll.fileno()

    def poll(self) -> Result | None:
        """Go on with what there is to do now; the result, once it has ended."""
        if self._result is None:
            self._read()
            if select.select([self._pidfd], [], [], 0)[0]:
                self._end()
            elif not self._late and self._clock() >= self._began + self._timeout_secs:
                self._late = True
                self._kill()
        return self._result

    def close(self) -> None:
        """Give all back. One that has not ended is killed."""
        if self._result is None:
            self._kill()
            try:
                self._process.wait(KILLED_SECS)
            except subprocess.TimeoutExpired:
                # It hangs in the kernel: not for us to wait for.
                Thread(target=self._process.wait, daemon=True, name="reaps").start()
            self._result = Result(False, self._clock() - self._began, "it was given up")
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._pidfd)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _end(self) -> None:
        # Its pid is not given anew before it is reaped, so that these are surely its own.
        self._kill()
        self._read()
        status = self._process.wait()
        output = self._output.decode(errors="replace")
        text = ""
        if self._late:
            text = f"it had not ended within {self._timeout_secs:g} s"
        elif status > 0:
            text = f"it left with status {status}"
        elif status < 0:
            text = f"it died of {_name(-status)}"
        if text:
            lines = [line.rstrip() for line in output.splitlines() if line.strip()]
            text = "\n".join([text, *lines[-LINES:]])
        self._result = Result(not text, self._clock() - self._began, text, output)

    def _read(self) -> None:
        # Not more at once than is kept: one that prints without end must not hold us up.
        for _ in range(MAX_OUTPUT_BYTES // 4096):
            try:
                data = os.read(self._pipe, 4096)
            except BlockingIOError:
                return
            if not data:
                # Closed by all who wrote: it would be readable for ever.
                try:
                    self._epoll.unregister(self._pipe)
                except FileNotFoundError:
                    pass
                return
            self._output += data
            del self._output[:-MAX_OUTPUT_BYTES]

    def _kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"  # a real-time signal


def started(
    command: str, directory: str, environment: dict[str, str], umask: int
) -> subprocess.Popen[bytes]:
    """Start a command as the listener's own user. Raises OSError, ValueError, SubprocessError."""
    return subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=umask,
        start_new_session=True,
        bufsize=0,
        preexec_fn=_die_with_us(),
    )


def started_as(
    wanted: Credentials,
    command: str,
    directories: list[str],
    environment: dict[str, str],
    umask: int,
) -> subprocess.Popen[bytes]:
    """Start a command as another user, in the first of the directories that this one may enter.

    Popen waits until what it starts has been executed, and may go to a directory as root: so that
    is a script of ours, which becomes the other user only then. Raises NotPossible, OSError.
    """
    if wanted.uid == os.getuid():
        there = next(
            (one for one in directories if os.access(f"{one}/.", os.X_OK)), directories[-1]
        )
        return started(command, there, environment, umask)
    if os.geteuid() != 0:
        raise NotPossible(
            f"its workers run as uid {wanted.uid}, which this listener "
            f"(uid {os.getuid()}) cannot become: run it as root or as that user"
        )
    told = json.dumps(
        {
            **dataclasses.asdict(wanted),
            "parent": os.getpid(),
            "command": command,
            "directories": directories,
            "environment": environment,
            "umask": umask,
        }
    )
    # No part of it is in the script's own environment, for it begins as root.
    with os.fdopen(os.memfd_create("told"), "w+", encoding="utf-8") as file:
        file.write(told)
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_BECOME)],
            cwd="/",
            env={},
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )


def _die_with_us() -> Callable[[], None]:
    """Make a preexec_fn: the process does not outlive this one, and leaves no core."""
    # A listener that never needs it does without, for its memory's sake.
    import ctypes

    # All that it calls is found beforehand: other threads of ours stop where they are at a fork.
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

    return prepare
