"""Folders that tests make, short enough for Unix sockets, and kept where their test fails."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from tests.harness.venvs import CACHE

FAILED = CACHE / "failed"
#: The longest folder for temporary files that leaves tests room: a Unix socket's path has 107
#: bytes at most.
_ROOM = 24

_made: list[Path] = []


def temporary_root() -> Path:
    """Where the folder for temporary files can be: inside the checkout if its path is short."""
    if len(str(CACHE)) > _ROOM:
        return Path("/tmp")
    CACHE.mkdir(exist_ok=True)
    return CACHE


def new_folder(prefix: str = "roll", below: str | None = None) -> Path:
    """A new folder, which its maker removes; a copy is kept if a test fails while it is there."""
    _made[:] = [one for one in _made if one.exists()]
    _made.append(Path(tempfile.mkdtemp(prefix=prefix, dir=below)))
    return _made[-1]


def kept_at(nodeid: str) -> Path:
    """Where the folders of a failed test are kept."""
    return FAILED / re.sub(r"[^A-Za-z0-9_]+", "-", nodeid.removeprefix("tests/")).strip("-")[:150]


def keep(nodeid: str, more: Path | None = None) -> list[Path]:
    """Copy the folders that are there, and ``more``, to where those of a failed test are kept."""
    copies = []
    there = [one for one in [*_made, *([more] if more else [])] if one.exists()]
    for number, folder in enumerate(there):
        copy = kept_at(nodeid) / str(number)
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(folder, copy, symlinks=True, ignore=_special)
        except (OSError, shutil.Error):
            pass  # processes still write there: what could be copied is what there is
        copies.append(copy)
    return copies


def _special(folder: str, names: list[str]) -> list[str]:
    """The sockets and pipes, which cannot be copied."""
    paths = [Path(folder) / name for name in names]
    return [
        path.name for path in paths if not (path.is_symlink() or path.is_dir() or path.is_file())
    ]
