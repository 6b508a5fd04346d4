"""The cgroups around a process, of either version, and the small files that the kernel shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


class Group(NamedTuple):
    """One cgroup: its version (1 or 2), its path as an operator knows it, and its folder."""

    version: int
    path: str
    folder: Path


def around(pid: int, controller: str, proc: Path = PROC, cgroup: Path = CGROUP) -> Iterator[Group]:
    """Return the cgroups that ``controller`` limits the process by, the innermost first."""
    for line in text(proc / str(pid) / "cgroup").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            version, root = 2, cgroup
        elif controller in controllers.split(","):
            version, root = 1, cgroup / controller
        else:
            continue
        # The path is as the host sees it; inside a container it may lie outside what is there.
        inside = PurePosixPath(path)
        if ".." in inside.parts:
            inside = PurePosixPath("/")
        for group in (inside, *inside.parents):
            yield Group(version, str(group), root / str(group)[1:])


def number(path: Path, otherwise: int) -> int:
    """Return what the file says; ``otherwise`` where that is no number, or not to be read."""
    found = text(path).strip()
    return int(found) if found.isdigit() else otherwise


def text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
