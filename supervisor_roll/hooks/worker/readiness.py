"""Our part of the hooks that run in Gunicorn's workers.

A worker is ready at its first heartbeat, its first own call of ``worker.notify``: in each
worker class that follows the loading of the application, an ASGI application's lifespan
start-up, and the set-up of what accepts requests. ``post_worker_init`` alone would be a false
ready for ASGI. A worker that is being stopped (``alive`` is False) says nothing, nor does one
whose application says that its start-up failed.

Ready is said at each heartbeat until the listener has acknowledged it. What is left of us in the
heartbeat then is ``watch``: a look at the clock.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from supervisor_roll.hooks import places
from supervisor_roll.hooks.arbiter import socket_handoff
from supervisor_roll.hooks.arbiter.addresses import inherits, texts_of
from supervisor_roll.hooks.arbiter.retiring import Allowance
from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.drain import lame_duck
from supervisor_roll.hooks.health.by_worker_class import checker_for
from supervisor_roll.hooks.health.check import Check, passed
from supervisor_roll.hooks.health.checker import Checker
from supervisor_roll.hooks.install import is_ours
from supervisor_roll.hooks.safely import log, safely
from supervisor_roll.hooks.shared_memory import WorkerPage, mark, page_of
from supervisor_roll.hooks.worker import boot_guard
from supervisor_roll.hooks.worker.bake_watch import BakeWatch
from supervisor_roll.hooks.worker.stale_code import stale_modules
from supervisor_roll.wire.datagram import (
    ABORTING,
    BOOTING,
    LISTENING,
    LOADED,
    READY,
    UNREADY,
    Message,
)
from supervisor_roll.wire.places import PLACES, RUNS, Place, encode

RETRY_SECS = 1.0
BEAT_SECS = 1.0
# A ready worker that no listener answers for that long is one to be kept. Longer than a rollout
# waits for it: one that hears nothing of its workers takes back those that it has added.
UNCLAIMED_SECS = 300.0
# So often the sockets are handed in before a worker gives it up.
HAND_INS = 10
_VOICE = "_supervisor_roll_voice"
_MARK = "_supervisor_roll_mark"


def forked(server: Any, worker: Any) -> None:
    """``post_fork``."""
    # From here to Worker.init_signals the child has the arbiter's handlers, which put a TERM
    # into a copy of the arbiter's queue, where it is lost.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    safely(_mark, worker)
    voice = Voice(server, worker)
    setattr(worker, _VOICE, voice)
    boot_guard.back_off(server, worker, voice)
    voice.channel.tell(voice.message(BOOTING))
    boot_guard.guard(worker, voice)
    lame_duck.prepare(worker, Allowance(worker, voice.arbiter))


def _mark(worker: Any) -> None:
    setattr(worker, _MARK, mark())


def initialized(worker: Any) -> None:
    """``post_worker_init``."""
    voice: Voice | None = getattr(worker, _VOICE, None)
    if voice is None:
        log.warning(
            "supervisor_roll: the hook post_fork is not installed; "
            "this worker will not say when it is ready"
        )
    else:
        if worker.alive:
            voice.loaded()
        if not worker.alive:
            # It was TERMed. Tornado's run() would make it alive again, and it would serve.
            raise SystemExit(0)


def aborted(worker: Any) -> None:
    """``worker_abort``."""
    voice: Voice | None = getattr(worker, _VOICE, None)
    if voice is not None:
        voice.channel.tell(voice.message(ABORTING))


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
        self.check: Check | None = None
        self.checker: Checker | None = None
        self._holds, self._hold_secs, self._heard = False, 0.0, 0.0
        self._next_try = 0.0
        self._acknowledged = False
        self._boot_secs = 0.0
        # Up to 21.2 a boot is bounded by ``timeout``: its heartbeat must go on while we wait.
        # From 22 on a boot is not bounded until the first heartbeat, so we must not begin it.
        self.beats_while_booting = tuple(version_info[:2]) < (22, 0)
        cfg = worker.cfg
        # As they are now: a later HUP may change the arbiter's, and the worker what it has.
        ours = state.listening and not inherits(cfg)
        self._sockets = socket_handoff.descriptors(server.LISTENERS) if ours else []
        self._hand_ins_left = HAND_INS
        self._facts = {
            "AGE": str(worker.age),
            "GUNICORN": __version__,
            "CLASS": f"{type(worker).__module__}.{type(worker).__name__}",
            "PRELOAD": str(int(bool(cfg.preload_app))),
            "REUSE_PORT": str(int(bool(cfg.reuse_port))),
            "RELOAD": str(int(bool(cfg.reload))),
            "TIMEOUT": str(cfg.timeout),
            "GRACEFUL_TIMEOUT": str(cfg.graceful_timeout),
            "MISSING": " ".join(missing),
            "STALE": " ".join(stale_modules(worker)),
            "BINDS": "\n".join(texts_of(cfg)),
            "CONFIGURED": str(cfg.workers),
            "CONF": state.configured.path,
            "CONF_DIGEST": state.configured.digest,
            "LISTENS": str(int(state.listening and is_ours(cfg.on_exit))),
            PLACES: encode(state.places),
            # Gunicorn's --check-config, which a preflight uses, forgets it.
            "PYTHONPATH": ",".join(
                os.path.abspath(path)  # noqa: PTH100
                for path in (cfg.pythonpath or "").split(",")
                if path
            ),
        }
        self._at_fork: tuple[Place, dict[str, str]] | None = None
        safely(self._follow, state.places)
        safely(self._tell_places)

    def _follow(self, started: list[Place]) -> None:
        self._at_fork = places.follow(self.worker, started), places.import_path()

    def _tell_places(self) -> None:
        if self._at_fork is not None:
            self._facts[RUNS] = encode(places.of_worker(self.worker, *self._at_fork))

    def message(self, kind: str, **fields: str) -> Message:
        changes, count = self.arbiter.count()
        return Message(
            kind,
            {
                **self._facts,
                "CHANGES": str(changes),
                "WORKERS": str(count),
                "SURPLUS": str(int(self.page.surplus)),
                **fields,
            },
        )

    def keep_alive(self) -> None:
        """Beat for Gunicorn while this worker waits, where Gunicorn bounds a boot."""
        if self.beats_while_booting:
            self.worker.tmp.notify()

    @property
    def leaving(self) -> bool:
        """The worker has been asked to leave."""
        return not self.worker.alive

    @property
    def may_fail(self) -> bool:
        """A failed boot would not halt the arbiter: the guard is up."""
        return self.arbiter.armed and not self.page.ready

    def loaded(self) -> None:
        """The application is loaded: check it as the listener says, and see to the ready."""
        if self.worker.timeout:
            # An idle sync worker would beat, and so speak, only every timeout/2 seconds. The
            # other classes beat every second, and make no use of this.
            self.worker.timeout = min(self.worker.timeout, BEAT_SECS)
        safely(self._tell_places)
        self.checker = checker_for(self.worker)
        if self.checker is None:
            self._facts["UNCHECKED"] = "1"
        answer = self.channel.ask(self.message(LOADED))
        if answer is not None:
            self.check = Check.from_answer(answer)
            self._holds = answer.fields.get("HOLD") == "1"
            self._hold_secs = answer.number("HOLD_SECS", 0.0)
            self._heard = time.monotonic()
            self._hand_in_sockets(answer)
        if self.checker is not None:
            self.keep_alive()
            self.checker.before_accept(self.check, self)
        original = self.worker.notify

        def notify() -> None:
            original()
            safely(lame_duck.arm, self.worker)
            safely(self._beat)

        self.worker.notify = notify

    def _hand_in_sockets(self, answer: Message) -> bool:
        """The listener has restarted, say, and wants what the arbiter listens on.

        False where it has yet to take them: then ready is said again, and answered anew.
        """
        if answer.fields.get("WANT_SOCKETS") != "1" or not self._sockets:
            return True
        message = self.message(LISTENING, ARBITER_PID=str(self.worker.ppid))
        if socket_handoff.hand_in(self.channel, message, self._sockets):
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
        """What comes of a check before the worker accepts: seconds until the next, None to serve.

        Only a rollout holds a worker: its older ones serve meanwhile. One that boots for
        any other reason is checked once, and serves whatever comes of it. A listener that
        falls silent holds nobody for longer than HOLD_SECS.
        """
        self.keep_alive()
        if passed(status):
            return None
        answer = self.channel.ask(self.message(UNREADY, STATUS=status))
        now = time.monotonic()
        if answer is not None:
            self._heard, self._holds = now, answer.fields.get("HOLD") == "1"
        if not self._holds or now > self._heard + self._hold_secs:
            self._next_try = now + RETRY_SECS
            return None
        return RETRY_SECS / 2

    def _beat(self) -> None:
        now = time.monotonic()
        checker = self.checker
        if (
            self._acknowledged
            or self.leaving
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
            self._say_unready(f"start-up failed: {checker.failure}")
        elif self.check is not None and not passed(checker.status):
            checker.start(self.check, self._checked)
        else:
            self._become_ready()

    def _checked(self) -> None:
        """A check in the serving worker has its status."""
        if self.leaving or self.checker is None:
            return
        if passed(self.checker.status):
            self._become_ready()
        else:
            self._say_unready(self.checker.status)

    def _say_unready(self, status: str) -> None:
        self.channel.ask(self.message(UNREADY, STATUS=status))

    def _become_ready(self) -> None:
        if not self.page.ready:
            self._boot_secs = time.monotonic() - self.born
            self.page.ready = True
            self.arbiter.became_ready()
        self._say_ready()

    def _say_ready(self) -> None:
        fields = {"BOOT_SECS": f"{self._boot_secs:.3f}"}
        checked = self.checker.status if self.checker is not None else ""
        if checked:
            fields["STATUS"] = checked
        answer = self.channel.ask(self.message(READY, **fields))
        if answer is None:
            if not self.channel.path or time.monotonic() > (
                self.born + self._boot_secs + UNCLAIMED_SECS
            ):
                self.page.surplus = False
            return
        handed_in = self._hand_in_sockets(answer)
        check = Check.from_answer(answer)
        if check is not None and not checked and self.checker is not None:
            # The answer to LOADED was lost; the listener wants the check all the same.
            self.check = check
            self._next_try = 0.0
            return
        if answer.fields.get("SURPLUS") != "1":
            # No rollout claims it. (One that does leaves it as it is: TTOU may have been first.)
            self.page.surplus = False
        self.arbiter.count_heard(int(answer.number("CHANGES", self.arbiter.count()[0])))
        if not handed_in:
            return
        self._acknowledged = True
        self.worker.__dict__.pop("notify", None)
        self.channel.close()
        watch = BakeWatch(self, answer.number("WATCH_SECS", 0.0))
        self.worker.notify = watch.wrapped(self.worker.notify)
