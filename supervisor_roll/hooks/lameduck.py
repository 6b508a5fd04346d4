"""The lame duck: a worker that is told to stop serves on a while, and asks its clients to leave.

A client with a kept-alive connection may send its next request at any moment, also while the
worker closes that connection: such a request is lost. So the first SIGTERM, whoever sends it,
only begins a drain, and what Gunicorn does with a SIGTERM comes at the drain's end:

1. *lame*: it accepts and serves as ever, but each answer says ``Connection: close``. Until it is
   seen without any connection, or for as long as Gunicorn keeps an idle one (``keepalive``, and
   ``MARGIN_SECS`` for answers that were under way), ``LONGEST_SECS`` at most.
2. *closing*: it accepts no more, so that new connections wait in the backlog for other workers or
   for its successor, and sees to those it has accepted, until it has none, ``CLOSING_SECS`` at
   most.

Both end within half of ``graceful_timeout``; without one there is no drain, and no lame time
without ``keepalive``. A connection that has sent nothing for so long is closed, as ever.
Requests that take longer are the worker's own to wait for; a tornado worker does not, so we do.
Nor is there a drain when the whole arbiter stops: there is nobody to reconnect to. That
shows: an arbiter closes its listening sockets before it TERMs its workers.

The sync and gevent workers need none of this: theirs is a drain of this kind, or no keep-alive.
Classes that we do not know are left alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from supervisor_roll.hooks.guest import log, quietly

MARGIN_SECS = 0.5
LONGEST_SECS = 10.0
CLOSING_SECS = 1.0
# What a tornado worker takes to stop once the drain is over.
STOP_SECS = 2.5
TICK_SECS = 0.1
_DUCK = "_supervisor_roll_lameduck"

# Which drain is for a worker, by the module of its class or of one that it inherits from.
_DRAINS = {
    "gunicorn.workers.gthread": "drain_threads.ThreadsDuck",
    "gunicorn.workers.gasgi": "drain_loops.GunicornLoopDuck",
    "gunicorn.workers.gtornado": "drain_loops.TornadoDuck",
    "uvicorn.workers": "drain_loops.UvicornDuck",
    "uvicorn_worker._workers": "drain_loops.UvicornDuck",
}


def prepare(worker: Any) -> None:
    """In ``post_fork``: give the worker the drain of its class, if there is one."""
    for one in type(worker).__mro__:
        if one.__module__ in _DRAINS and worker.cfg.graceful_timeout > 0:
            module, _, name = _DRAINS[one.__module__].partition(".")
            duck: LameDuck = getattr(import_module(f"supervisor_roll.hooks.{module}"), name)(worker)
            duck.prepare()
            setattr(worker, _DUCK, duck)
            return


def arm(worker: Any) -> None:
    """At a heartbeat: from the first one on, a TERM begins the drain. Later ones change nothing.

    Not before: only then has every class installed its own handler of the signal.
    """
    duck: LameDuck | None = worker.__dict__.pop(_DUCK, None)
    if duck is not None:
        duck.arm()


class LameDuck:
    """The course of a drain. A subclass knows its worker class: what there is to override."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        cfg = worker.cfg
        graceful_secs = float(cfg.graceful_timeout)
        kept_secs = cfg.keepalive + MARGIN_SECS if cfg.keepalive > 0 else 0.0
        self.closing_secs = min(CLOSING_SECS, graceful_secs / 8)
        self.lame_secs = min(kept_secs, LONGEST_SECS, graceful_secs / 2 - self.closing_secs)
        # An arbiter that waits for its workers kills them after graceful_timeout.
        self.patience_secs = max(graceful_secs - STOP_SECS, graceful_secs / 2)
        self.lame = False
        self.over = False
        self._course: Iterator[None] | None = None

    # ---- what a subclass overrides ----

    def prepare(self) -> None:
        """What must be in place before the application is loaded."""

    def arm(self) -> None:
        """Let SIGTERM call ``termed`` from now on; remember what it did until now."""
        raise NotImplementedError

    def run(self) -> None:
        """Call ``advance`` every TICK_SECS until it says False, then let ``resume`` be called."""
        raise NotImplementedError

    def resume(self) -> None:
        """Let SIGTERM do again what it did, and do that."""
        raise NotImplementedError

    def ask_to_close(self) -> None:
        """See to it that answers say ``Connection: close`` from now on."""
        raise NotImplementedError

    def connections(self) -> int:
        """How many connections the worker has."""
        raise NotImplementedError

    def stop_accepting(self) -> None:
        """Leave new connections in the backlog."""
        raise NotImplementedError

    def cut_off(self) -> bool:
        """Whether there are requests that the worker's own way to stop would cut off."""
        return False

    # ---- the course ----

    def termed(self) -> None:
        """SIGTERM came. Arbiters repeat it: once the drain runs, it has been heard."""
        if self.over:
            return
        if not self.worker.alive or arbiter_stops(self.worker):
            self.over = True
            self.resume()
        elif self._course is None:
            self._course = self._drain()
            self.run()

    def advance(self) -> bool:
        """Do the next step of the drain; False once there is none left."""
        if self.over or self._course is None:
            return False
        try:
            next(self._course)
        except StopIteration:
            self.over = True
        except Exception:  # noqa: BLE001 (whatever it is, the worker must still be able to stop)
            log.warning(
                "supervisor_roll: the drain failed; the worker stops without it", exc_info=True
            )
            self.over = True
        return not self.over

    def _drain(self) -> Iterator[None]:
        began = time.monotonic()
        if self.lame_secs:
            self.ask_to_close()
            self.lame = True
            while self.connections() and time.monotonic() < began + self.lame_secs:
                yield
        self.stop_accepting()
        until = time.monotonic() + self.closing_secs
        yield  # what has just been accepted may not be counted yet
        while self.connections() and time.monotonic() < until:
            yield
        while self.cut_off() and time.monotonic() < began + self.patience_secs:
            yield


def set_handler(handler: Any) -> Any:
    """Install the handler of SIGTERM as Gunicorn does; the one that was there before."""
    before = signal.signal(signal.SIGTERM, handler)
    signal.siginterrupt(signal.SIGTERM, False)
    return before


def as_handler(react: Callable[[], None]) -> Callable[[int, Any], None]:
    """A signal handler that calls ``react``; what goes wrong in it is logged."""
    return lambda _signum, _frame: quietly(react)


def arbiter_stops(worker: Any) -> bool:
    """Whether the arbiter has closed its listening sockets, which it does when it stops.

    False where that cannot be seen: it may run as another user.
    """
    if worker.cfg.reuse_port:
        return False  # from Gunicorn 24 on each worker has sockets of its own
    try:
        listening = [os.fstat(sock.fileno()) for sock in worker.sockets]
        folder = f"/proc/{os.getppid()}/fd"
        for name in os.listdir(folder):  # noqa: PTH208
            try:
                held = os.stat(f"{folder}/{name}")  # noqa: PTH116
            except FileNotFoundError:
                continue
            if any(os.path.samestat(held, one) for one in listening):
                return False
    except (OSError, AttributeError):  # one that drains may have closed its own sockets
        return False
    return True
