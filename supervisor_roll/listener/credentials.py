"""As whom a process runs."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Credentials:
    """A user, a group, and the groups besides."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def of_program(cls, uid: int) -> Credentials | None:
        """What supervisord gives to a program of this user; None if there is no such user."""
        if uid == os.getuid():
            return cls(uid, os.getgid(), tuple(os.getgroups()))
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            return None
        return cls(uid, user.pw_gid, tuple(os.getgrouplist(user.pw_name, user.pw_gid)))

    @classmethod
    def of_process(cls, pid: int, proc: Path = PROC) -> Credentials | None:
        """Those of a process; None if it has gone.

        Gunicorn's ``user`` setting makes its workers other users than their arbiter, and code
        that they load must not be loaded with more rights beforehand.
        """
        try:
            lines = (proc / str(pid) / "status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines)
            # Real, effective, saved and file system's.
            uid, gid = (int(fields[key].split()[1]) for key in ("Uid", "Gid"))
            return cls(uid, gid, tuple(int(one) for one in fields["Groups"].split()))
        except (OSError, KeyError, IndexError, ValueError):
            return None
