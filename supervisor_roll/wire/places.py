"""Where a process runs from: its paths as they were named, and what they led to.

A link is resolved once, when a process starts or loads a module. Whether it leads elsewhere by
now can be seen only by one who knows both its text and what it led to then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Of an arbiter.
ROOT = "root"  # a process in another root has other paths
DIRECTORY = "directory"  # where it was started
COMMAND = "command"  # the script that was executed
FOUND = "found"  # by this name alone, in PATH
PYTHON = "python"  # the interpreter
ENVIRONMENT = "environment"  # sys.prefix: its packages
PATH = "path"  # another entry of sys.path that the arbiter itself has imported from
BEGAN = "began"  # ``real`` is the time, in seconds since the epoch
# Of a worker.
CHDIR = "chdir"  # its working directory as of its fork, where that is the one of ``chdir``
CWD = "cwd"  # its working directory as of its fork, where it is another
APP = "app"  # the file of the application's module

MAX_BYTES = 6000  # a datagram has more to say than that
_MAX_PLACES = 100  # to look at each takes time


@dataclass(frozen=True)
class Place:
    """``text`` is the path as it was named, ``real`` where it led, ``node`` the file itself."""

    kind: str
    text: str
    real: str
    node: str = ""


def encode(places: Iterable[Place]) -> str:
    """One line for each; those whose path has a tab or a line end in it are left out."""
    lines: list[str] = []
    size = 0
    for place in places:
        fields = place.kind, place.text, place.real, place.node
        line = "\t".join(fields)
        if line.count("\t") != len(fields) - 1 or "\n" in line or "\r" in line:
            continue
        size += len(line.encode("utf-8", "backslashreplace")) + 2
        if size <= MAX_BYTES:
            lines.append(line)
    return "\n".join(lines)


def decode(text: str) -> list[Place]:
    """Return the places that ``encode`` wrote. What cannot be used is left out."""
    rows = [line.split("\t") for line in text.split("\n")[:_MAX_PLACES]]
    return [Place(*row) for row in rows if len(row) == 4 and not any("\0" in one for one in row)]
