"""Replacing a file at one stroke, with its mode, owner and attributes."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from supervisor_roll.installation.files import Unreadable, read_bytes


def replace(path: str, old: bytes, new: bytes) -> None:
    """Put ``new`` in the place of ``old``; a link stays one. Raises Unreadable.

    All goes through the folder's descriptor: whoever owns the folder may move it meanwhile.
    """
    real = Path(os.path.realpath(path))
    temporary = f".{real.name}.{secrets.token_hex(8)}"
    try:
        folder = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as why:
        raise Unreadable(path, f"cannot write it: {why.strerror}") from None
    try:
        _write(real.name, temporary, folder, new)
        if read_bytes(real.name, folder) != old:
            raise Unreadable(path, "it has changed meanwhile: try again")
        os.replace(temporary, real.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError as why:
        raise Unreadable(path, f"cannot write it: {why.strerror}") from None
    finally:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        os.close(folder)


def _write(name: str, temporary: str, folder: int, data: bytes) -> None:
    """Write a new file beside another one, and make it like that. Raises OSError, Unreadable."""
    like = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        found = os.fstat(like)
        if found.st_nlink > 1:
            raise Unreadable(name, "it has several names (hard links), which would part")
        with open(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:  # noqa: PTH123
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
            for attribute in os.listxattr(like):
                with suppress(OSError):
                    os.setxattr(file.fileno(), attribute, os.getxattr(like, attribute))
            os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    finally:
        os.close(like)
