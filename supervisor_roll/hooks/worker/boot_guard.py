"""The guard of a worker's boot: a release that cannot boot takes nothing down and does not spin.

Gunicorn halts with all its workers as soon as one of them exits with the status of a failed
boot, and forks a new one at once for any other. So a failed boot is caught, told to the
listener with its traceback, and left with another status; and the workers forked after a
failed one wait before they load anything, the longer the more have failed, until one is ready.
That is in the child, since an arbiter that waits handles no signals.
"""

from __future__ import annotations

import os
import time
import traceback
from typing import TYPE_CHECKING

from supervisor_roll.hooks.safely import log
from supervisor_roll.hooks.worker.reporter import WorkerReporter
from supervisor_roll.wire.messages import BackingOff, Failed

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter

FIRST_WAIT_SECS, LONGEST_WAIT_SECS = 0.5, 10.0
# An arbiter up to Gunicorn 23 must have noted a child's pid before the child is gone, or it
# keeps the dead pid as a worker.
PARK_SECS = 0.3
TRACEBACK_LINES = 100
_STEP_SECS = 0.5


def back_off(server: Arbiter, reporter: WorkerReporter) -> None:
    """Wait, if boots have failed since a worker was last ready. TERM ends the wait, and us.

    A surplus worker never waits: it is an operator's or a rollout's next try.
    """
    # In the arbiter these say not to halt; here they are the statuses to leave with.
    for name in ("WORKER_BOOT_ERROR", "APP_LOAD_ERROR"):
        server.__dict__.pop(name, None)
    failures = reporter.arbiter.failures
    if not failures or reporter.page.surplus:
        return
    wait = min(FIRST_WAIT_SECS * 2 ** min(failures - 1, 10), LONGEST_WAIT_SECS)
    log.warning(
        "supervisor_roll: %d boots have failed: this worker waits %g s before its own",
        failures,
        wait,
    )
    reporter.tell(BackingOff, failures=failures, wait_secs=wait)
    until = time.monotonic() + wait
    while (left := until - time.monotonic()) > 0 and os.getppid() == reporter.worker.ppid:
        reporter.keep_alive()
        time.sleep(min(left, _STEP_SECS))
    reporter.born = time.monotonic()


def guard(reporter: WorkerReporter) -> None:
    """Tell what ends the worker before it is ready; catch it if its arbiter has had a ready one."""
    worker = reporter.worker
    original = worker.init_process

    def guarded() -> None:
        try:
            original()
            if worker.alive and not reporter.page.ready:
                # An ASGI server returns from run() where the application's start-up failed.
                raise RuntimeError("the worker left before it was ready; its log may say why")
        except BaseException as error:
            if reporter.page.ready or not worker.alive:
                raise
            _tell(reporter, error)
            if not reporter.arbiter.armed:
                raise
            log.error("supervisor_roll: the worker failed to boot", exc_info=True)
            time.sleep(PARK_SECS)
            raise SystemExit(1) from error

    # Not on the class: only this worker, and Gunicorn calls it right after this hook.
    worker.init_process = guarded


def _tell(reporter: WorkerReporter, error: BaseException) -> None:
    # An ASGI server leaves with a status where the application's start-up failed.
    why = error.__cause__ if isinstance(error, SystemExit) and error.__cause__ else error
    summary = f"{type(why).__name__}: {why}"
    lines = "".join(traceback.format_exception(why)).rstrip().splitlines()
    reporter.ask(Failed, error=summary, traceback="\n".join(lines[-TRACEBACK_LINES:]))
