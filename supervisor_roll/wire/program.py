"""A program as supervisord would spawn it now."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor_roll.wire.codec import Count


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
