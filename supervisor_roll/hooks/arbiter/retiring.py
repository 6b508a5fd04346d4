"""An arbiter that retires: another one serves in its place, so it drains as one worker does.

To stop is the same signal for both, so supervisord sends ``RETIRE`` before it: a signal that
nothing else uses, that is ignored where these hooks are missing, and that nobody may send who
could not stop the arbiter anyway. What workers do at a stop depends on it: where nobody serves
on, they leave at once; else their clients are asked to reconnect.

How long all that may take is the rollout's ``drain_timeout_secs``, which the listener is asked
for: it stands for ``graceful_timeout`` then. Where it does not answer, what it said to a
worker that had become ready holds.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.drain.lame_duck import arbiter_stops
from supervisor_roll.hooks.safely import safely
from supervisor_roll.hooks.shared_memory import ArbiterPage
from supervisor_roll.wire.messages import Draining
from supervisor_roll.wire.successor import RETIRE

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Worker

# How long a listener that hangs holds up a worker, which may serve others meanwhile; at each of
# two times. And an arbiter that retires: its workers serve on until it goes on.
ASK_SECS, ARBITER_ASK_SECS = 1.0, 5.0
# Workers that have not left in time are sent ABRT, and have so long until their KILL.
ABORT_SECS = 1.0


def prepare(server: Arbiter) -> None:
    """Let the arbiter react to RETIRE, from ``when_ready`` on."""
    state = ArbiterState.of(server)
    page = state.page
    stop, kill_workers = server.stop, server.kill_workers

    def retire(_signum: int, _frame: Any) -> None:
        if os.getpid() == server.pid:
            page.retiring = True
        else:  # a worker inherits this handler: it is to be replaced
            state.asked_to_retire = True

    def stopping(graceful: bool = True) -> None:
        if graceful and page.retiring and not page.drained_by:
            safely(_allow, server, page)
        stop(graceful)

    def killing(sig: int) -> None:
        if sig == signal.SIGKILL and page.retiring:
            safely(_abort, server, kill_workers)
        kill_workers(sig)

    signal.signal(getattr(signal, f"SIG{RETIRE}"), retire)
    # Not on the class: only for this arbiter.
    server.stop, server.kill_workers = stopping, killing


class Allowance:
    """How long a worker that was told to stop may take."""

    def __init__(self, worker: Worker, page: ArbiterPage) -> None:
        self._worker, self._page = worker, page
        self._graceful_secs = float(worker.cfg.graceful_timeout)
        self._question = _Question(self._graceful_secs)
        self._told_at = 0.0
        self._secs: float | None = None

    def nothing(self) -> bool:
        """Tell whether the whole program stops: a client could reconnect to nobody."""
        return not self._page.retiring and arbiter_stops(self._worker)

    def until(self, *, waits: bool = True) -> float:
        """Tell by when, on the monotonic clock, it must be gone, as far as that is known by now.

        The first call is when it was told to stop. A listener that was too busy to answer then may
        have answered by the next one. Each ``waits`` for the answer, unless it is known.
        """
        if self._page.retiring and self._page.drained_by:
            return self._page.drained_by
        if not self._told_at:
            self._told_at = time.monotonic()
        if self._secs is None:
            self._secs = self._question.answered(ASK_SECS if waits else 0.0)
        secs = self._secs
        if secs is None:
            secs = self._page.drain_secs or self._graceful_secs
        return self._told_at + secs


class _Question:
    """How long may it take? ``otherwise`` is what holds where no rollout says it."""

    def __init__(self, otherwise: float) -> None:
        self._otherwise = otherwise
        self._channel = Channel(0.0)

    def answered(self, within_secs: float) -> float | None:
        """Return the answer, if it comes in time. To ask again is to wait on."""
        self._channel.be_patient(within_secs)
        answer = self._channel.ask(Draining())
        if answer is None:
            return None
        return self._otherwise if answer.drain_secs is None else answer.drain_secs


def _allow(server: Arbiter, page: ArbiterPage) -> None:
    question = _Question(float(server.cfg.graceful_timeout))
    secs = page.drain_secs or float(server.cfg.graceful_timeout)
    page.drained_by = time.monotonic() + secs  # whatever comes of the question
    answered = question.answered(ARBITER_ASK_SECS)
    secs = secs if answered is None else answered
    page.drained_by = time.monotonic() + secs
    server.cfg.set("graceful_timeout", math.ceil(secs))


def _abort(server: Arbiter, kill_workers: Callable[[int], None]) -> None:
    if server.WORKERS:
        kill_workers(signal.SIGABRT)
    until = time.monotonic() + ABORT_SECS
    while server.WORKERS and time.monotonic() < until:
        server.reap_workers()
        time.sleep(0.1)
