"""A preflight: the application is loaded once, in a process that is thrown away.

It runs what supervisord would spawn, as the user who loads the application today, with
Gunicorn's own ``--check-config`` put in through GUNICORN_CMD_ARGS, which reaches through a
wrapper. So a release that cannot be loaded is found out before any worker is touched.

It costs the listener nothing to wait: ``fileno()`` can be selected on, and ``poll`` never
blocks. The process has no terminal, no standard input, nothing of the listener's
descriptors, a session of its own, and an end: at its deadline it is asked where it hangs
(Python says so at SIGABRT) and then killed with all of its session. It does not outlive
the listener.
"""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.side_processes.output import explained, stands_at_its_end
from supervisor_roll.rollout.errors import RollError
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.program import PREFLIGHT_SOCKET, PREFLIGHT_VARIABLE, Program

TIMEOUT_SECS = 60.0
# What a process that was asked where it hangs has to say so.
LAST_WORDS_SECS = 1.0
# Of what it prints, the end is kept.
MAX_OUTPUT_BYTES = 64 * 1024
_PR_SET_PDEATHSIG = 1
_ARGS = "GUNICORN_CMD_ARGS"
# Through these the environment does not reach, or not as a rule.
_OPAQUE = frozenset({"sudo", "doas", "su", "runuser", "docker", "podman", "ssh", "systemd-run"})


class NotPossible(RollError):
    """The preflight could not be made, which says nothing of the release; the text says why."""


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
        explain: Callable[[str, int, float | None], str] = explained,
    ) -> None:
        self._explain = explain
        self._process, self._clock, self._timeout_secs = process, clock, timeout_secs
        self._began = clock()
        self._asked = self._killed = False
        self._deadline = self._began + timeout_secs
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

    @classmethod
    def start(
        cls,
        program: Program,
        credentials: Credentials | None = None,
        pythonpath: str = "",
        timeout_secs: float = TIMEOUT_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> SideProcess:
        """Begin. Raises NotPossible.

        ``credentials`` are those of a worker that serves now, None for those that supervisord
        would give; ``pythonpath`` is Gunicorn's setting, which ``--check-config`` forgets;
        ``clock`` is monotonic.
        """
        wanted = credentials or Credentials.of_program(program.uid)
        if wanted is None:
            raise NotPossible(f"no user has the uid {program.uid}")
        user = user_arguments(wanted)
        try:
            process = subprocess.Popen(
                program.arguments,
                executable=program.file,
                cwd=program.directory,
                env=environment(program.environment, pythonpath),
                umask=program.umask,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
                preexec_fn=die_with_us(),
                **user,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise NotPossible(f"cannot run {program.command}: {error}") from error
        return cls(process, timeout_secs, clock)

    @property
    def next_deadline(self) -> float | None:
        """When ``poll`` is due at the latest, on the clock."""
        return None if self._result is not None else self._deadline

    def fileno(self) -> int:
        """Readable whenever ``poll`` has something to do."""
        return self._epoll.fileno()

    def poll(self) -> Result | None:
        """Go on with what there is to do now; the result, once it has ended."""
        if self._result is None:
            self._read()
            if select.select([self._pidfd], [], [], 0)[0]:
                self._end()
            elif self._clock() >= self._deadline:
                self._overdue()
        return self._result

    def kill(self) -> None:
        """End it now. ``poll`` gives its result shortly, as of one that failed."""
        self._killed = True
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Give all back. One that has not ended is killed, and waited for."""
        if self._result is None:
            self.kill()
            self._process.wait()
            self._result = Result(False, self._clock() - self._began, "it was given up")
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._pidfd)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _overdue(self) -> None:
        if self._asked:
            self._signal(signal.SIGKILL)
        else:
            self._signal(signal.SIGABRT)
        self._asked = True
        self._deadline = self._clock() + LAST_WORDS_SECS

    def _end(self) -> None:
        # Its pid is not given anew before it is reaped, so that these are surely its own.
        self._signal(signal.SIGKILL)
        self._read()
        status = self._process.wait()
        secs = self._clock() - self._began
        output = self._output.decode(errors="replace")
        if self._killed:
            self._result = Result(False, secs, "it was given up")
        elif self._asked and stands_at_its_end(output):
            # The application left a thread behind, for which Python waits when it exits.
            self._result = Result(True, secs)
        else:
            late = self._timeout_secs if self._asked else None
            text = self._explain(output, status, late)
            self._result = Result(not text, secs, text, output)

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

    def _signal(self, signum: signal.Signals) -> None:
        if self._process.returncode is not None:
            return
        try:
            os.killpg(self._process.pid, signum)
        except (ProcessLookupError, PermissionError):
            pass


def user_arguments(wanted: Credentials) -> dict[str, Any]:
    """What makes a process of subprocess's one with these. Raises NotPossible."""
    if wanted.uid == os.getuid():
        return {}
    if os.geteuid() != 0:
        raise NotPossible(
            f"the application is loaded by uid {wanted.uid}, which this listener "
            f"(uid {os.getuid()}) cannot become: run it as root or as that user"
        )
    return {"user": wanted.uid, "group": wanted.gid, "extra_groups": wanted.groups}


def die_with_us() -> Callable[[], None]:
    """A preexec_fn: the process does not outlive this one, and leaves no core."""
    # A listener that never needs it does without, for its memory's sake.
    import ctypes

    # All that it calls is found beforehand: other threads of ours stop where they are at a fork.
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

    return prepare


def environment(spawned: Mapping[str, str], pythonpath: str = "") -> dict[str, str]:
    """A preflight's environment, made of the one that supervisord would give. Pure.

    ``pythonpath`` is a list by commas, as Gunicorn has it.
    """
    found = dict(spawned)
    found[SOCKET_VARIABLE] = PREFLIGHT_SOCKET
    found[PREFLIGHT_VARIABLE] = "1"
    # First, since what is there already may end the options with "--".
    found[_ARGS] = f"--check-config {found.get(_ARGS, '')}".rstrip()
    # It says at SIGABRT where it stands.
    found["PYTHONFAULTHANDLER"] = "1"
    # They are for one process alone, which is not this one.
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"):
        found.pop(name, None)
    if pythonpath:
        paths = [*pythonpath.split(","), *filter(None, [found.get("PYTHONPATH")])]
        found["PYTHONPATH"] = ":".join(paths)
    return found


def objection(command: str, running: list[str]) -> str:
    """Why a preflight of this program might serve in place of checking; empty if it would not.

    ``command`` is the configuration's, ``running`` the command line of the arbiter as it runs:
    a second arbiter would take the first one's sockets. Only Gunicorn's own command heeds
    GUNICORN_CMD_ARGS; an application that embeds Gunicorn does not.
    """
    words = re.findall(r"[^\s'\"();&|]+", command)
    names = [PurePath(word).name for word in words]
    opaque = sorted(_OPAQUE.intersection(names))
    if "env" in names and {"-", "-i", "--ignore-environment"}.intersection(words):
        opaque = ["env -i"]
    if opaque:
        return f"its command goes through {opaque[0]}, which may not pass the environment on"
    if _ARGS in command:
        return f"its command sets {_ARGS} itself; set it with environment= instead"
    if not any(
        re.fullmatch(r"gunicorn([-.\d]*|\.app\.wsgiapp)", name)
        for name in [*names, *(PurePath(word).name for word in running)]
    ):
        return "neither its command nor its process shows that it is Gunicorn's own command"
    return ""
