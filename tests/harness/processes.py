"""Ending what a site started, by identity: its supervisord, and all that came from it."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import psutil

from tests.harness.waiting import wait_until

#: Every process of a site inherits this variable; its value is the site's folder.
STAMP = "SUPERVISOR_ROLL_TEST_SITE"

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent() -> None:
    """In a child before exec: be TERMed when the parent dies, however it dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def stamped(folder: str) -> list[psutil.Process]:
    """The live processes that bear the stamp of the site in ``folder``.

    The stamp finds orphans too, which no longer descend from supervisord.
    """
    mine = []
    for process in psutil.process_iter():
        try:
            mine_to_end = os.getuid() in (0, process.uids().real)
            if mine_to_end and process.environ().get(STAMP) == folder:
                mine.append(process)
        except psutil.Error:
            continue
    return mine


def is_gone(pid: int) -> bool:
    """The process is not there, or is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def command_line(pid: int) -> list[bytes]:
    """Its arguments; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def environment(pid: int) -> list[str]:
    """What the process was started with: ``NAME=VALUE``, each."""
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def kill_tree(pid: int) -> None:
    """KILL a process and all that descend from it."""
    root = psutil.Process(pid)
    root.suspend()  # it starts nothing more
    kill([root, *root.children(recursive=True)])


def kill(found: list[psutil.Process], deadline_secs: float = 5.0) -> None:
    """KILL these processes and wait for their ends. AssertionError if one outlives the deadline."""
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    # One whose parent is gone may stay a zombie for a while: it is dead all the same.
    wait_until(
        lambda: all(is_gone(process.pid) for process in found),
        deadline_secs,
        f"{found} are gone after KILL",
        0.01,
    )
