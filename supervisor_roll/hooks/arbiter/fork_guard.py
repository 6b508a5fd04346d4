"""The guard of a fork: where no worker can be started, the arbiter serves on with those it has.

Gunicorn has nothing around its ``fork()``: where the pids of a cgroup or the processes of a
user are at their limit, it would end with all its healthy workers. So the arbiter's
``spawn_worker`` is covered. What goes wrong is told to the listener, a surplus worker is
wanted no longer, and any other one is tried again, after a pause that grows.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.safely import log, safely
from supervisor_roll.wire.messages import ForkFailed

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter

FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 0.5, 10.0
_CURES = {
    errno.EAGAIN: (
        "a limit of processes is reached: raise pids.max of its cgroup (TasksMax= of the "
        "systemd unit, --pids-limit of the container) or its user's limit (ulimit -u)"
    ),
    errno.ENOMEM: "memory is short: free some, or raise the limit of its cgroup",
    errno.EMFILE: "the arbiter has too many files open: raise its limit (ulimit -n)",
    errno.ENOSPC: "the disk is full: free some space where worker_tmp_dir is",
}


class ForkGuard:
    """Covers one arbiter's ``spawn_worker``, whoever of Gunicorn or us calls it."""

    def __init__(self, server: Arbiter, state: ArbiterState) -> None:
        self._server, self._state = server, state
        self._failures = 0
        self._next_try = 0.0
        self._spawn = server.spawn_worker
        # Not on the class: only for this arbiter.
        server.spawn_worker = self.spawn_worker

    def spawn_worker(self) -> int | None:
        """As Gunicorn's, but once a worker has been ready no OSError comes out of it."""
        surplus = self._state.surplus_births
        # A surplus worker never waits: it is an operator's or a rollout's next try.
        if not surplus and time.monotonic() < self._next_try:
            return None
        arbiter = os.getpid()
        try:
            pid = self._spawn()
        except OSError as error:
            if os.getpid() != arbiter:
                raise  # in the worker it is Gunicorn's to see to
            safely(self._tell, error, bool(surplus))
            if not self._state.page.armed:
                raise
            safely(self._failed, surplus)
            return None
        self._failures, self._next_try = 0, 0.0
        return pid

    def _tell(self, error: OSError, surplus: bool) -> None:
        text = f"the arbiter could not start a worker: {error}"
        if error.errno in _CURES:
            text += f": {_CURES[error.errno]}"
        log.error("supervisor_roll: %s", text)
        Channel(patience_secs=0).tell(ForkFailed(error=text, surplus=surplus))

    def _failed(self, surplus: int) -> None:
        if surplus:
            # Whether or not it came as far as pre_fork, which counts it.
            self._state.surplus_births = surplus - 1
            self._state.lower(self._server)
            return
        pause = min(FIRST_PAUSE_SECS * 2 ** min(self._failures, 10), LONGEST_PAUSE_SECS)
        self._failures += 1
        self._next_try = time.monotonic() + pause
