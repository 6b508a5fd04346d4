"""Paths that a program's own processes tell, or that its user may have put something at.

Whatever stands there must not hold up or end a listener that is perhaps root: a FIFO, which waits
when it is opened, a device, which acts on it, a file without end, links that lead to links. The
kernel follows 40 of these at most.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import struct

MAX_BYTES = 1 << 20
_AT_FDCWD = -100
_OPENAT2 = 437  # on every architecture
_NO_MAGICLINKS = 2
_HOW = struct.Struct("3Q")  # flags, mode, resolve


def led_to(path: str) -> tuple[str, str]:
    """Where ``path`` leads: the real path, and what is there by its device and inode.

    Raises OSError and ValueError.
    """
    fd = _opened(path, os.O_PATH | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        return os.readlink(f"/proc/self/fd/{fd}"), f"{found.st_dev}:{found.st_ino}"  # noqa: PTH115
    finally:
        os.close(fd)


def contents(
    path: str, most: int = MAX_BYTES, *, follow: bool = True, is_real: bool = False
) -> bytes:
    """Return the first ``most`` bytes of a regular file. Raises OSError and ValueError.

    ``follow``: also where ``path`` itself is a link. ``is_real``: only without a link on the way.
    """
    # Nothing is opened by that: it can be looked at first, and is the same afterwards.
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    fd = _opened(path, flags)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no regular file")
        if is_real and os.readlink(f"/proc/self/fd/{fd}") != path:  # noqa: PTH115
            raise OSError(f"{path} leads elsewhere")
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(fd)
    with open(again, "rb") as file:  # noqa: PTH123
        # What the kernel makes up has no size, and to read it may wait.
        return file.read(min(most, found.st_size))


def _opened(path: str, flags: int) -> int:
    """Open it, unless the way leads through what a process has open or where it is (/proc).

    For that the rights that are left to root are enough (CAP_SYS_PTRACE), whoever it looks as.
    """
    if "\0" in path:
        raise ValueError("embedded null byte")
    how = _HOW.pack(flags, 0, _NO_MAGICLINKS)
    fd: int = _libc().syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, _HOW.size)
    if fd >= 0:
        return fd
    if ctypes.get_errno() == errno.ENOSYS:
        return os.open(path, flags)  # before Linux 5.6
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
