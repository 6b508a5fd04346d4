"""A signal wakes the arbiter however close to its wait it comes.

Python notes a signal, and runs Gunicorn's handler when the main thread is next at a bytecode: not
while that waits in a system call, unless the signal interrupts this one. A signal just before the
call, or one that the kernel gives to another thread (since Gunicorn 25.1 there is one for the
control socket), was therefore handled when the wait of 1 s was over. What Python writes to its
wakeup descriptor it writes at once, in whatever thread, and the arbiter waits for that.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter


def prepare(server: Arbiter) -> None:
    """Have it so from ``when_ready`` on."""
    own: Any = server
    if getattr(own, "PIPE", None):  # up to Gunicorn 23: it waits for that one already
        _write_to(own.PIPE[1])
        return
    if not hasattr(own, "wait_for_signals"):
        return
    wait, wakeup = own.wait_for_signals, own.wakeup
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    poll = select.poll()
    poll.register(reading, select.POLLIN)

    def waiting(timeout: float = 1.0) -> list[int]:
        poll.poll(timeout * 1000)
        with suppress(BlockingIOError):
            os.read(reading, 4096)
        signals: list[int] = wait(timeout=0)
        return signals

    def waking() -> None:
        wakeup()
        with suppress(BlockingIOError):
            os.write(writing, b".")

    if _write_to(writing):
        # Not on the class: only for this arbiter.
        own.wait_for_signals, own.wakeup = waiting, waking


def _write_to(descriptor: int) -> bool:
    """Have Python write there; False if it writes elsewhere for somebody else."""
    before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)
    return before == -1
