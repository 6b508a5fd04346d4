"""An arbiter that retires: another one serves in its place, so it drains as one worker does.

To stop is the same signal for both, so supervisord sends ``RETIRE`` before it: a signal that
nothing else uses, that is ignored where these hooks are missing, and that nobody may send who
could not stop the arbiter anyway. What workers do at a stop depends on it: where nobody serves
on, they leave at once; else their clients are asked to connect anew.

How long all that may take is the rollout's ``drain_timeout_secs``, which the listener is asked
for. It stands for ``graceful_timeout`` then; without an answer that one holds.
"""

from __future__ import annotations

import math
import os
import signal
import time
from typing import Any

from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.guest import quietly
from supervisor_roll.hooks.lameduck import arbiter_stops
from supervisor_roll.hooks.pages import ArbiterPage, ArbiterState
from supervisor_roll.wire.datagram import DRAINING, Message
from supervisor_roll.wire.succession import RETIRE

# A listener that hangs must not hold up a stop.
ASK_SECS = 1.0
# Workers that have not left in time are sent ABRT, and have so long until their KILL.
ABORT_SECS = 1.0


def prepare(server: Any) -> None:
    """In ``when_ready``: have the arbiter heed RETIRE."""
    page = ArbiterState.of(server).page
    stop, kill_workers = server.stop, server.kill_workers

    def retire(_signum: int, _frame: Any) -> None:
        if os.getpid() == server.pid:  # a worker inherits this handler
            page.retiring = True

    def stopping(graceful: bool = True) -> None:
        if graceful and page.retiring and not page.drained_by:
            quietly(_allow, server, page)
        stop(graceful)

    def killing(signum: int) -> None:
        if signum == signal.SIGKILL and page.retiring:
            quietly(_abort, server, kill_workers)
        kill_workers(signum)

    signal.signal(getattr(signal, f"SIG{RETIRE}"), retire)
    # Not on the class: only for this arbiter.
    server.stop, server.kill_workers = stopping, killing


class Allowance:
    """How long a worker that was told to stop may take."""

    def __init__(self, worker: Any, page: ArbiterPage) -> None:
        self._worker, self._page = worker, page
        self._graceful_secs = float(worker.cfg.graceful_timeout)

    def nothing(self) -> bool:
        """The whole program stops: there is nobody that a client could reconnect to."""
        return not self._page.retiring and arbiter_stops(self._worker)

    def secs(self) -> float:
        """Until it must be gone."""
        if self._page.retiring:
            return max(0.0, self._page.drained_by - time.monotonic())
        return _asked_secs(self._graceful_secs)


def _asked_secs(otherwise: float) -> float:
    channel = Channel(ASK_SECS)
    answer = channel.ask(Message(DRAINING))
    channel.close()
    return answer.number("DRAIN_SECS", otherwise) if answer is not None else otherwise


def _allow(server: Any, page: ArbiterPage) -> None:
    secs = float(server.cfg.graceful_timeout)
    page.drained_by = time.monotonic() + secs  # whatever comes of the question
    secs = _asked_secs(secs)
    page.drained_by = time.monotonic() + secs
    server.cfg.set("graceful_timeout", math.ceil(secs))


def _abort(server: Any, kill_workers: Any) -> None:
    if server.WORKERS:
        kill_workers(signal.SIGABRT)
    until = time.monotonic() + ABORT_SECS
    while server.WORKERS and time.monotonic() < until:
        server.reap_workers()
        time.sleep(0.1)
