"""Our part of the hooks that run in Gunicorn's workers.

A worker is ready at its first heartbeat, its first own call of ``worker.notify``: in each
worker class that follows the loading of the application, an ASGI application's lifespan
start-up, and the set-up of what accepts requests. ``post_worker_init`` alone would be a false
ready for ASGI. A worker that is being stopped (``alive`` is False) says nothing, nor does one
whose application says that its start-up failed.

Ready is said at each heartbeat until the listener has acknowledged it. What is left of us in the
heartbeat then is ``bake_watch``: a look at the clock.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.arbiter import socket_handoff
from supervisor_roll.hooks.arbiter.retiring import Allowance
from supervisor_roll.hooks.by_worker_class import (
    beat_at_once,
    checker_for,
    drain_for,
    serve_status,
)
from supervisor_roll.hooks.drain.lame_duck import LameDuck
from supervisor_roll.hooks.health.check import Check, passed
from supervisor_roll.hooks.health.checker import Checker
from supervisor_roll.hooks.safely import log, safely
from supervisor_roll.hooks.shared_memory import mark
from supervisor_roll.hooks.status_page import StatusPage
from supervisor_roll.hooks.worker import boot_guard
from supervisor_roll.hooks.worker.bake_watch import BakeWatch
from supervisor_roll.hooks.worker.recycling import Recycling
from supervisor_roll.hooks.worker.reporter import WorkerReporter
from supervisor_roll.hooks.worker.request_limit import RequestLimit
from supervisor_roll.wire.messages import Aborting, Ack, Listening, Loaded, Ready, Unready

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Worker

RETRY_SECS = 1.0
BEAT_SECS = 1.0
# After that long a worker that has not waited for an answer looks for it.
SOON_SECS = 0.05
# A ready worker that no listener answers for that long is one to be kept. Longer than a rollout
# waits for it: without a word of its workers it removes those that it has added.
UNCLAIMED_SECS = 300.0
# So often the sockets are handed in before a worker gives it up.
HAND_INS = 10
_READINESS = "_supervisor_roll_readiness"
_MARK = "_supervisor_roll_mark"


def forked(server: Arbiter, worker: Worker) -> None:
    """``post_fork``."""
    # From here to Worker.init_signals the child has the arbiter's handlers, which put a TERM
    # into a copy of the arbiter's queue, where it is lost.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)  # it was the arbiter's
    safely(_mark, worker)
    reporter = WorkerReporter(server, worker)
    readiness = Readiness(reporter)
    setattr(worker, _READINESS, readiness)
    boot_guard.back_off(server, reporter)
    reporter.tell_booting()
    boot_guard.guard(reporter)
    readiness.prepare_drain()


def _mark(worker: Worker) -> None:
    setattr(worker, _MARK, mark())


def initialized(worker: Worker) -> None:
    """``post_worker_init``."""
    readiness: Readiness | None = getattr(worker, _READINESS, None)
    if readiness is None:
        log.warning(
            "supervisor_roll: the hook post_fork is not installed; "
            "this worker will not say when it is ready"
        )
    else:
        if worker.alive:
            readiness.loaded()
        if not worker.alive:
            # It was TERMed. Tornado's run() would make it alive again, and it would serve.
            raise SystemExit(0)


def aborted(worker: Worker) -> None:
    """``worker_abort``."""
    readiness: Readiness | None = getattr(worker, _READINESS, None)
    if readiness is not None:
        readiness.reporter.tell(Aborting)


def leaving(worker: Worker) -> None:
    """``worker_exit``."""
    # An arbiter TERMs a surplus worker again at each turn of its loop. Once the worker's own
    # handler is gone that would end it as if it had crashed: "was sent SIGTERM!".
    if os.getpid() == worker.pid:  # Gunicorn calls this hook in the arbiter too
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Readiness:
    """Sees one worker from its loaded application to its acknowledged ready."""

    def __init__(self, reporter: WorkerReporter) -> None:
        self.reporter = reporter
        self._state = reporter.state
        self._limit: RequestLimit | None = None
        self._worker = reporter.worker
        self._check: Check | None = None
        self._checker: Checker | None = None
        self._drain: LameDuck | None = None
        self._holds, self._hold_secs, self._heard = False, 0.0, 0.0
        self._next_try = 0.0
        self._acknowledged = self._serves_status = False
        self._alone = False  # it says READY alone, and does not wait for the answer
        self._boot_secs = 0.0
        self._sockets = self._state.sockets
        self._hand_ins_left = HAND_INS

    def prepare_drain(self) -> None:
        """Before the application is loaded: prepare the drain of the worker's class."""
        if self._state.drains:
            self._drain = drain_for(self._worker, Allowance(self._worker, self.reporter.arbiter))
        if self._drain is not None:
            self._drain.prepare()

    @property
    def leaving(self) -> bool:
        """The worker has been asked to leave."""
        return self.reporter.leaving

    @property
    def may_fail(self) -> bool:
        """A failed boot would not halt the arbiter: the guard is up."""
        return self.reporter.arbiter.armed and not self.reporter.page.ready

    def loaded(self) -> None:
        """Check the loaded application as the listener says, and see to the ready."""
        worker, reporter = self._worker, self.reporter
        if worker.timeout:
            # An idle sync worker would beat, and so speak, only every timeout/2 seconds, and one of
            # uvicorn's every timeout. The other classes beat every second, and make no use of this.
            worker.timeout = min(worker.timeout, BEAT_SECS)
            config: Any = getattr(worker, "config", None)
            if hasattr(config, "timeout_notify"):
                config.timeout_notify = BEAT_SECS
        self._checker = checker_for(worker)
        if self._checker is None:
            reporter.facts["unchecked"] = True
        answer = self._ask_loaded()
        if answer is not None:
            self._check = Check.from_answer(answer)
            self._holds = answer.hold
            self._hold_secs = answer.hold_secs
            self._heard = time.monotonic()
            self._hand_in_sockets(answer)
        safely(self._serve_status, answer)
        if self._checker is not None:
            reporter.keep_alive()
            self._checker.before_accept(self._check, self)
        original = worker.notify
        armed = False

        def notify() -> None:
            nonlocal armed
            original()
            if not armed:
                armed = True
                safely(self._arm)
            safely(self._beat)

        worker.notify = notify
        safely(beat_at_once, worker)

    def _ask_loaded(self) -> Ack | None:
        """Say that it is loaded, and wait, if the listener may have something to say to that.

        An ordinary worker serves at once otherwise, however busy or asleep the listener is.
        """
        reporter = self.reporter
        if reporter.arbiter.ready_alone and not reporter.is_spare:
            self._alone = True
            return None
        safely(reporter.note_places)
        reporter.be_patient()
        answer = reporter.ask(Loaded)
        if answer is not None:
            reporter.arbiter.ready_alone = answer.ready_alone
        return answer

    def _serve_status(self, answer: Ack | None) -> None:
        """Answer the status page, as this worker is told or, without an answer, others were."""
        page = self.reporter.arbiter
        if answer is not None:
            page.status_path, page.drained_path = answer.status_path, answer.drained_path
        if page.status_path and page.drained_path and not self._serves_status:
            self._serves_status = True
            serve_status(self._worker, StatusPage(page.status_path, page.drained_path))

    def _arm(self) -> None:
        """At the first heartbeat: only then has every class installed its handler of SIGTERM."""
        self._limit = RequestLimit.of(self._worker)
        if self._drain is not None:
            self._drain.arm()

    def _hand_in_sockets(self, answer: Ack) -> bool:
        """Hand in what the arbiter listens on, where the listener wants it: it has restarted, say.

        False where it has yet to take them: then READY is sent again.
        """
        if not answer.want_sockets or not self._sockets:
            return True
        reporter = self.reporter
        message = reporter.message(Listening, arbiter_pid=self._worker.ppid)
        if socket_handoff.hand_in(reporter.channel, message, self._sockets):
            return True
        self._hand_ins_left -= 1
        if self._hand_ins_left:
            return False
        log.warning(
            "supervisor_roll: the listener has not taken the listening sockets: until a worker "
            "that starts later hands them in, this arbiter cannot be replaced beside itself"
        )
        return True

    def judge(self, status: str) -> float | None:
        """Decide after a check before the worker accepts: seconds until the next, None to serve.

        Only a rollout holds a worker: its older ones serve meanwhile. One that boots for
        any other reason is checked once, and serves whatever comes of it. A listener that
        falls silent holds nobody for longer than HOLD_SECS.
        """
        self.reporter.keep_alive()
        if passed(status):
            return None
        answer = self.reporter.ask(Unready, status=status)
        now = time.monotonic()
        if answer is not None:
            self._heard, self._holds = now, answer.hold
        if not self._holds or now > self._heard + self._hold_secs:
            self._next_try = now + RETRY_SECS
            return None
        return RETRY_SECS / 2

    def _beat(self) -> None:
        now = time.monotonic()
        checker = self._checker
        if (
            self._acknowledged
            or self.reporter.leaving
            or now < self._next_try
            or (checker is not None and checker.busy)
        ):
            return
        self._next_try = now + RETRY_SECS
        if checker is None:
            self._become_ready()
            return
        checker.later(RETRY_SECS, self._beat)
        if checker.failure:
            self.reporter.ask(Unready, status=f"start-up failed: {checker.failure}")
        elif self._check is not None and not passed(checker.status):
            checker.start(self._check, self._checked)
        else:
            self._become_ready()

    def _checked(self) -> None:
        """Act on the status of a check in the serving worker."""
        if self.reporter.leaving or self._checker is None:
            return
        if passed(self._checker.status):
            self._become_ready()
        else:
            self.reporter.ask(Unready, status=self._checker.status)

    def _become_ready(self) -> None:
        reporter = self.reporter
        if not reporter.page.ready:
            self._boot_secs = time.monotonic() - reporter.born
            reporter.page.ready = True
            reporter.arbiter.became_ready()
        self._say_ready()

    def _say_ready(self) -> None:
        reporter = self.reporter
        checked = self._checker.status if self._checker is not None else ""
        answer = reporter.ask(
            Ready,
            waits=not self._alone,
            boot_secs=round(self._boot_secs, 3),
            status=checked or None,
            alone=self._alone,
        )
        if answer is None:
            if self._alone:
                self._next_try = time.monotonic() + SOON_SECS
            unclaimed_at = reporter.born + self._boot_secs + UNCLAIMED_SECS
            if not self._state.line.path or time.monotonic() > unclaimed_at:
                reporter.page.surplus = False
            return
        reporter.arbiter.ready_alone = answer.ready_alone
        handed_in = self._hand_in_sockets(answer)
        safely(self._serve_status, answer)
        again, self._alone = self._alone and not answer.ready_alone, False
        if again:
            # A rollout has begun since it was forked, say: it is to say what it runs.
            safely(reporter.note_places)
        check = Check.from_answer(answer)
        if check is not None and not checked and self._checker is not None:
            # The answer to LOADED was lost; the listener wants the check all the same.
            self._check, again = check, True
        if again:
            self._next_try = 0.0
            return
        if not answer.surplus:
            # No rollout claims it. (One that does leaves it as it is: TTOU may have been first.)
            reporter.page.surplus = False
        reporter.count_heard(answer)
        if answer.drain_secs is not None:
            reporter.arbiter.drain_secs = answer.drain_secs
        if not handed_in:
            return
        self._acknowledged = True
        self._worker.__dict__.pop("notify", None)
        reporter.channel.hang_up()
        recycling = Recycling(reporter, self._state, self._limit, answer)
        watch = BakeWatch(reporter, self._checker, self._check, recycling, answer.watch_secs)
        self._worker.notify = watch.wrapped(self._worker.notify)
