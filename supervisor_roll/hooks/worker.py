"""Our part of the hooks that run in Gunicorn's workers.

A worker is ready at its first heartbeat, its first own call of ``worker.notify``: in each
worker class that follows the loading of the application, an ASGI application's lifespan
start-up, and the set-up of what accepts requests. ``post_worker_init`` alone would be a false
ready for ASGI. A worker that is being stopped (``alive`` is False) says nothing.

Ready is said at each heartbeat until the listener has acknowledged it; then the worker's
own ``notify`` is put back, and the worker runs as if we were not there.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from supervisor_roll.hooks import boot, health
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.guest import log, quietly
from supervisor_roll.hooks.health import Check
from supervisor_roll.hooks.pages import ArbiterState, WorkerPage, page_of
from supervisor_roll.wire.datagram import BOOTING, LOADED, READY, UNREADY, Message

RETRY_SECS = 1.0
# A ready worker that no listener answers for that long is one to be kept.
UNCLAIMED_SECS = 30.0
_VOICE = "_supervisor_roll_voice"


def forked(server: Any, worker: Any) -> None:
    """``post_fork``."""
    # From here to Worker.init_signals the child has the arbiter's handlers, which put a TERM
    # into a copy of the arbiter's queue, where it is lost.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    voice = Voice(server, worker)
    setattr(worker, _VOICE, voice)
    boot.back_off(server, worker, voice)
    voice.channel.tell(voice.message(BOOTING))
    boot.guard(worker, voice)


def initialized(worker: Any) -> None:
    """``post_worker_init``."""
    voice: Voice | None = getattr(worker, _VOICE, None)
    if voice is None:
        log.warning("supervisor_roll: the hook post_fork is not installed; "
                    "this worker will not say when it is ready")
    elif worker.alive:
        voice.loaded()


def leaving(worker: Any) -> None:
    """``worker_exit``."""
    # An arbiter TERMs a surplus worker again at each turn of its loop. Once the worker's own
    # handler is gone that would end it as if it had crashed: "was sent SIGTERM!".
    if os.getpid() == worker.pid:  # Gunicorn calls this hook in the arbiter too
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Voice:
    """What one worker has to say, from its fork to its acknowledged ready."""

    def __init__(self, server: Any, worker: Any) -> None:
        from gunicorn import __version__, version_info

        self.worker = worker
        self.channel = Channel()
        self.born = time.monotonic()
        state = ArbiterState.of(server)
        self.arbiter = state.page
        missing = [] if state.hears_counts else ["nworkers_changed"]
        missing += [] if page_of(worker) else ["pre_fork"]
        self.page = page_of(worker) or WorkerPage()
        self._check: Check | None = None
        self._status = ""
        self._next_try = 0.0
        self._boot_secs = 0.0
        self.born_surplus = self.page.surplus
        # Up to 21.2 a boot is bounded by ``timeout``: its heartbeat must go on while we wait.
        # From 22 on a boot is not bounded until the first heartbeat, so we must not begin it.
        self.beats_while_booting = tuple(version_info[:2]) < (22, 0)
        cfg = worker.cfg
        self._facts = {
            "AGE": str(worker.age),
            "GUNICORN": __version__,
            "CLASS": f"{type(worker).__module__}.{type(worker).__name__}",
            "PRELOAD": str(int(bool(cfg.preload_app))),
            "REUSE_PORT": str(int(bool(cfg.reuse_port))),
            "TIMEOUT": str(cfg.timeout),
            "GRACEFUL_TIMEOUT": str(cfg.graceful_timeout),
            "MISSING": " ".join(missing),
        }

    def message(self, kind: str, **fields: str) -> Message:
        changes, count = self.arbiter.count()
        return Message(kind, {
            **self._facts, "CHANGES": str(changes), "WORKERS": str(count),
            "SURPLUS": str(int(self.born_surplus)), **fields})

    def keep_alive(self) -> None:
        """Beat for Gunicorn while this worker waits, where Gunicorn bounds a boot."""
        if self.beats_while_booting:
            self.worker.tmp.notify()

    def loaded(self) -> None:
        """The application is loaded: check it as the listener says, and see to the ready."""
        if not self._can_check():
            self._facts["UNCHECKED"] = "1"
        answer = self.channel.ask(self.message(LOADED))
        if answer is not None:
            self._check = Check.from_answer(answer)
            self._hold(answer.fields.get("HOLD") == "1", answer.number("HOLD_SECS", 0.0))
        original = self.worker.notify

        def notify() -> None:
            original()
            quietly(self._beat)

        self.worker.notify = notify

    def _hold(self, holds: bool, hold_secs: float) -> None:
        """Make the check before anything is accepted; stay here while the listener says so.

        Only a rollout holds a worker: its older ones serve meanwhile. One that boots for
        any other reason is checked once, and serves whatever comes of it. A listener that
        falls silent holds nobody for longer than ``hold_secs``.
        """
        heard = time.monotonic()
        while self._check is not None and self.worker.alive:
            self._run_check()
            if health.passed(self._status) or not self._can_check():
                return
            answer = self.channel.ask(self.message(UNREADY, STATUS=self._status))
            now = time.monotonic()
            if answer is not None:
                heard, holds = now, answer.fields.get("HOLD") == "1"
            if not holds or now > heard + hold_secs:
                self._next_try = now + RETRY_SECS
                return
            self.keep_alive()
            time.sleep(RETRY_SECS / 2)

    def _can_check(self) -> bool:
        return health.is_wsgi(self.worker)

    def _run_check(self) -> None:
        if self._check is None or not self._can_check():
            self._status = ""
            return
        self.keep_alive()
        self._status = health.call_wsgi(self.worker, self._check)

    def _beat(self) -> None:
        now = time.monotonic()
        if not self.worker.alive or now < self._next_try:
            return
        self._next_try = now + RETRY_SECS
        if self._check is not None and self._can_check() and not health.passed(self._status):
            self._run_check()
            if not health.passed(self._status):
                self.channel.ask(self.message(UNREADY, STATUS=self._status))
                return
        if not self.page.ready:
            self._boot_secs = now - self.born
            self.page.ready = True
            self.arbiter.became_ready()
        self._say_ready()

    def _say_ready(self) -> None:
        fields = {"BOOT_SECS": f"{self._boot_secs:.3f}"}
        if self._status:
            fields["STATUS"] = self._status
        answer = self.channel.ask(self.message(READY, **fields))
        if answer is None:
            if not self.channel.path or time.monotonic() > (
                    self.born + self._boot_secs + UNCLAIMED_SECS):
                self.page.surplus = False
            return
        check = Check.from_answer(answer)
        if check is not None and not self._status and self._can_check():
            # The answer to LOADED was lost; the listener wants the check all the same.
            self._check = check
            self._next_try = 0.0
            return
        if answer.fields.get("SURPLUS") != "1":
            # No rollout claims it. (One that does leaves it as it is: TTOU may have been first.)
            self.page.surplus = False
        self.worker.__dict__.pop("notify", None)
        self.channel.close()
