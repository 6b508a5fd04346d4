"""Become a worker's user and run a command where that worker is: a script of its own.

The listener starts it, as root, and never waits for it: as soon as it is the other user's
process, that user may stop it. It reads what to do from standard input, and imports nothing of
ours.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    told = json.load(sys.stdin)
    os.setgroups(told["groups"])
    os.setgid(told["gid"])
    os.setuid(told["uid"])
    # It does not outlive the listener; a change of user would undo that.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != told["parent"]:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    os.umask(told["umask"])
    _enter(told["directories"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores
    os.execve("/bin/sh", ["/bin/sh", "-c", told["command"]], told["environment"])


def _enter(directories: list[str]) -> None:
    """Go to the first of them where this user may go."""
    for directory in directories:
        try:
            os.chdir(directory)
            return
        except (OSError, ValueError) as error:
            why = error
    sys.exit(f"cannot enter {directories[-1]}: {why}")


if __name__ == "__main__":
    main()
