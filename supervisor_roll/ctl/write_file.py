"""A file that an operator asked for, written whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def write_file(path: Path, text: str) -> None:
    """Write it beside and rename it, so that no link of somebody else's is followed.

    Raises OSError; where there is anything but a file already, that stays.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise FileExistsError("there is something that is no file")
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            mask = os.umask(0o077)
            os.umask(mask)
            os.fchmod(descriptor, 0o666 & ~mask)
            file.write(text)
        Path(beside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise
