"""The lame duck: a worker that is told to stop serves on a while, and asks its clients to leave.

A client with a kept-alive connection may send its next request at any moment, also while the
worker closes that connection: such a request is lost. So the first SIGTERM, whoever sends it,
only begins a drain, and what Gunicorn does with a SIGTERM comes at the drain's end:

1. *lame*: it accepts and serves as ever, but each answer says ``Connection: close``. Until it is
   seen without any connection, or for as long as Gunicorn keeps an idle one (``keepalive``, and
   ``MARGIN_SECS`` for answers that were under way), ``LONGEST_SECS`` at most.
2. *closing*: it no longer accepts, so that new connections wait in the backlog for other workers or
   for its successor, and sees to those it has accepted, until it has none, ``CLOSING_SECS`` at
   most.

3. *finishing*: it serves on, with its heartbeat, while requests, streams and websockets are
   under way. Those that are left when the time is nearly over are told so, where there is a way
   (``say_goodbye``), and what is left then is Gunicorn's to cut off.

All of it takes no longer than is allowed: the rollout's ``drain_timeout_secs``, or where no
rollout runs ``graceful_timeout``; without that one there is no drain. 1 and 2 end within
half of it, and there is no lame time without ``keepalive``. A connection that has sent nothing
for so long is closed, as ever.
Nor is there a drain when the whole program stops: there is nobody to reconnect to. That
shows: an arbiter closes its listening sockets before it TERMs its workers, and it was not told
that it retires (``retiring``).

Sync workers need none of this. Classes that we do not know are left alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from supervisor_roll.hooks.safely import log, safely

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker

MARGIN_SECS = 0.5
LONGEST_SECS = 10.0
CLOSING_SECS = 1.0
# For websockets to answer that they are being closed.
GOODBYE_SECS = 1.0
# What a websocket's client is told: Service Restart (IANA's registry of close codes).
RESTARTS = 1012
# What a tornado worker takes to stop once the drain is over.
STOP_SECS = 2.5
TICK_SECS = 0.1


class Allowed(Protocol):
    """How long a worker that was told to stop may take (``retiring.Allowance``)."""

    def nothing(self) -> bool: ...

    def until(self, *, waits: bool = True) -> float: ...


class LameDuck:
    """The course of a drain. A subclass knows its worker class: what there is to override."""

    def __init__(self, worker: Worker, allowed: Allowed) -> None:
        self.worker = worker
        self.lame = False
        self.over = False
        self._allowed = allowed
        self._course: Iterator[None] | None = None
        self._begin(float(worker.cfg.graceful_timeout))

    def _begin(self, secs: float) -> None:
        self._began = time.monotonic()
        self._plan(self._began + secs)

    def _plan(self, until: float) -> None:
        """Divide the time that is allowed among the parts of the drain."""
        self.ends_at, secs = until, until - self._began
        keepalive = self.worker.cfg.keepalive
        kept_secs = keepalive + MARGIN_SECS if keepalive > 0 else 0.0
        self.closing_secs = min(CLOSING_SECS, secs / 8)
        self.lame_secs = max(0.0, min(kept_secs, LONGEST_SECS, secs / 2 - self.closing_secs))
        self.goodbye_secs = min(GOODBYE_SECS, secs / 8)
        # A margin to be gone in, before others see to that.
        self.patience_secs = max(secs - self.goodbye_secs - STOP_SECS, secs / 2)

    # ---- what a subclass overrides ----

    def prepare(self) -> None:
        """Put in place what must be there before the application is loaded."""

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
        """Let answers say ``Connection: close`` from now on."""
        raise NotImplementedError

    def connections(self) -> int:
        """How many connections the worker has."""
        raise NotImplementedError

    def stop_accepting(self) -> None:
        """Leave new connections in the backlog."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Whether there are requests, streams or websockets under way."""
        return False

    def say_goodbye(self) -> None:
        """Tell the clients of websockets that they are being closed."""

    # ---- the course ----

    def termed(self) -> None:
        """SIGTERM came. Arbiters repeat it: once the drain runs, it has been heard."""
        if self.over:
            return
        if not self.worker.alive or self._allowed.nothing():
            self.over = True
            self.resume()
        elif self._course is None:
            self._course = iter(())  # it may be repeated while we ask
            self._begin(self._allowed.until() - time.monotonic())
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
        began = self._began
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
        if self.busy():
            self._plan(self._allowed.until())
        while self.busy() and time.monotonic() < began + self.patience_secs:
            yield
        if self.busy():
            self.say_goodbye()
            until = time.monotonic() + self.goodbye_secs
            while self.busy() and time.monotonic() < until:
                yield
        self.hurry()

    def ends_in_secs(self) -> float:
        """Return in how many seconds the worker must be gone."""
        return self.ends_at - time.monotonic()

    def hurry(self) -> None:
        """Let what Gunicorn itself waits for end in time as well."""
        cfg, left = self.worker.cfg, int(self.ends_in_secs())
        cfg.set("graceful_timeout", max(1, min(cfg.graceful_timeout, left)))


def set_handler(handler: Any) -> Any:
    """Install the handler of SIGTERM as Gunicorn does; the one that was there before."""
    before = signal.signal(signal.SIGTERM, handler)
    signal.siginterrupt(signal.SIGTERM, False)
    return before


def as_handler(react: Callable[[], None]) -> Callable[[int, Any], None]:
    """Make a signal handler that calls ``react``; what goes wrong in it is logged."""
    return lambda _signum, _frame: safely(react)


def arbiter_stops(worker: Worker) -> bool:
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
