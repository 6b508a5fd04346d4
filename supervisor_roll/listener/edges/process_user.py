"""As whom a process runs."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# setgroups(2): the C library's is for all threads, and waits for each.
_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "ppc64le": 81, "s390x": 206}


# Of the lines "Uid" and "Gid": real, effective, saved and file system's. A name before them has no
# line end: the kernel escapes it.
_IDS = re.compile(
    r"^Uid:\s+(\d+)\s+(\d+).*\nGid:\s+(\d+)\s+(\d+).*\n(?:.*\n)*?Groups:[ \t]*([\d ]*)$",
    re.MULTILINE,
)


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
        found = _read(pid, proc)
        if found is None:
            return None
        real_uid, acts_as, real_gid, _ = found[0]
        if real_uid != acts_as or uid not in (-1, real_uid):
            return None
        return cls(real_uid, real_gid, found[1])

    @classmethod
    def of_process(cls, pid: int, proc: Path = PROC) -> Credentials | None:
        """Those that a process acts with; None if it has gone."""
        found = _read(pid, proc)
        return None if found is None else cls(found[0][1], found[0][3], found[1])


def _read(pid: int, proc: Path) -> tuple[list[int], tuple[int, ...]] | None:
    """Return a process's real and effective uid and gid, and its groups; None if it has gone."""
    try:
        found = _IDS.search((proc / str(pid) / "status").read_text())
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    *ids, groups = found.groups()
    return [int(one) for one in ids], tuple(int(one) for one in groups.split())


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
