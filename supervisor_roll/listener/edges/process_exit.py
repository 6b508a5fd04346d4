"""How a process of somebody else's has ended, as far as the kernel tells it us.

It tells who holds a descriptor of the process since Linux 6.15, once its parent has taken note of
its end; before that, and in each kernel, it stands in /proc for root, or for the same user.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from signal import Signals

from supervisor_roll.listener.edges.process_stat import PROC, exit_code
from supervisor_roll.rollout.events import InstanceId

# Of linux/pidfd.h: struct pidfd_info as of its first version, of which the mask is the first field
# and the exit status the last.
_INFO = struct.Struct("Q 52x i")
_GET_INFO = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11
_EXIT = 1 << 3


def how_ended(instance: InstanceId, pidfd: int, proc: Path = PROC) -> str:
    """Say it: ``killed by SIGKILL``, ``exit status 3``; empty for 0, or where nobody tells."""
    status = _told_of(pidfd) or exit_code(instance, proc)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(ValueError):
            return f"killed by {Signals(number).name}"
        return f"killed by signal {number}"
    return f"exit status {os.WEXITSTATUS(status)}" if os.WEXITSTATUS(status) else ""


def _told_of(pidfd: int) -> int:
    info = bytearray(_INFO.pack(_EXIT, 0))
    with suppress(OSError):
        fcntl.ioctl(pidfd, _GET_INFO, info)
        mask, status = _INFO.unpack(info)
        return int(status) if mask & _EXIT else 0
    return 0
