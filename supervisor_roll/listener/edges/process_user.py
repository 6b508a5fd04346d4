"""As whom a process runs."""

from __future__ import annotations

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
