"""A process as supervisord has it, and a program as supervisord would spawn it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from supervisor_roll.wire.codec import Count


class ProcessInfo(NamedTuple):
    """One of supervisord's processes: its namespec, pid (0 if it has none) and state's name.

    ``log``: which of its logs has its standard error, as ``supervisorctl tail`` names it.
    """

    namespec: str
    pid: int
    state: str
    log: str = ""


@dataclass(frozen=True)
class Processes:
    """All of them. There may be hundreds: they are lists as JSON, without keys."""

    processes: list[ProcessInfo]


@dataclass(frozen=True)
class Program:
    """What supervisord would execute. ``environment`` is complete, and replaces the spawner's.

    ``arguments`` begin with the program's own name.
    """

    file: str
    arguments: list[str]
    directory: str
    environment: dict[str, str]
    umask: Count
