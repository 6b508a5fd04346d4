"""Reading files that others wrote: bounded, regular ones only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_BYTES = 1024 * 1024


class Unreadable(Exception):
    """A file cannot be used. Names it, and why."""

    def __init__(self, path: str | Path, why: str) -> None:
        self.path, self.why = str(path), why
        super().__init__(f"{path}: {why}")


def read_bytes(path: str | Path, directory: int | None = None) -> bytes:
    """Return what is in a file, in ``directory`` (a descriptor) if given. Raises Unreadable."""
    try:
        # A pipe without a writer must not hold us.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with open(fd, "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Unreadable(path, "it is no regular file")
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as why:
        raise Unreadable(path, f"cannot read it: {getattr(why, 'strerror', why)}") from None
    if len(data) > MAX_BYTES:
        raise Unreadable(path, f"it has more than {MAX_BYTES} bytes")
    return data


def read_text(path: str | Path) -> str:
    """Return the text of a file, as supervisor and Python read theirs. Raises Unreadable."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as why:
        raise Unreadable(path, f"byte {why.start} is not UTF-8") from None
