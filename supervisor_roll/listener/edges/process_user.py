"""As whom a process runs."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# setgroups(2): the C library's is for all threads, and waits for each.
_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "ppc64le": 81, "s390x": 206}


@dataclass(frozen=True)
class Credentials:
    """A user, a group, and the groups besides."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def of_worker(cls, pid: int, uid: int, proc: Path = PROC) -> Credentials | None:
        """Those of a worker that has spoken as user ``uid`` (-1: not known); None if it has gone.

        Gunicorn's ``user`` setting makes its workers other users than their arbiter, and code
        that they load must not be loaded with more rights beforehand. A worker may execute what
        gives it another's rights (a set-user-ID file): it is none that counts then.
        """
        found, acts_as = cls.of_process(pid, proc, real=True), cls.of_process(pid, proc)
        if found is None or acts_as is None or found.uid != acts_as.uid:
            return None
        return found if uid in (-1, found.uid) else None

    @classmethod
    def of_process(cls, pid: int, proc: Path = PROC, *, real: bool = False) -> Credentials | None:
        """Those that a process acts with, or its ``real`` ones; None if it has gone."""
        try:
            lines = (proc / str(pid) / "status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines)
            # Real, effective, saved and file system's.
            ids = [[int(one) for one in fields[key].split()] for key in ("Uid", "Gid")]
            column = 0 if real else 1
            return cls(
                ids[0][column],
                ids[1][column],
                tuple(int(one) for one in fields["Groups"].split()),
            )
        except (OSError, KeyError, IndexError, ValueError):
            return None


# Of whom nothing is known: what everybody may see.
NOBODY = Credentials(65534, 65534)


@contextmanager
def looking_as(user: Credentials) -> Iterator[None]:
    """Have this thread open files with no more rights than ``user`` has, if it is root's."""
    if os.geteuid() != 0 or user.uid == 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    own, group = os.getgroups(), os.getegid()
    try:
        _set_groups(libc, user.groups)
        libc.setfsgid(user.gid)
        libc.setfsuid(user.uid)
        if (libc.setfsuid(-1), libc.setfsgid(-1)) != (user.uid, user.gid):
            raise PermissionError(f"cannot look as user {user.uid}")
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(group)
        _set_groups(libc, own)


def _set_groups(libc: ctypes.CDLL, groups: Sequence[int]) -> None:
    number = _SETGROUPS.get(platform.machine())
    array = (ctypes.c_uint32 * len(groups))(*groups)
    if number is not None and libc.syscall(number, len(groups), array):
        raise OSError(ctypes.get_errno(), "cannot set this thread's groups")
