"""The drain of Gunicorn's gevent (and, up to 25, eventlet) workers: their own, but for its length.

They finish what is under way, with a heartbeat, and say ``Connection: close`` meanwhile.
"""

from __future__ import annotations

import signal

from supervisor_roll.hooks.drain.lame_duck import STOP_SECS, LameDuck, as_handler, set_handler
from supervisor_roll.hooks.safely import safely


class GeventDrain(LameDuck):
    def arm(self) -> None:
        self._before = set_handler(as_handler(self.termed))

    def run(self) -> None:
        """Only have it wait for as long as is allowed: it reads that each second."""
        self.over = True
        self._allow()
        original = self.worker.notify

        def notify() -> None:
            original()
            safely(self._allow_what_is_known_now)

        self.worker.notify = notify
        self.resume()

    def _allow(self) -> None:
        secs = self.ends_at - self._began
        self.worker.cfg.set("graceful_timeout", max(1, int(max(secs - STOP_SECS, secs / 2))))

    def _allow_what_is_known_now(self) -> None:
        """Allow what a listener has answered since that was too busy to answer in time."""
        self._plan(self._allowed.until(waits=False))
        self._allow()

    def resume(self) -> None:
        set_handler(self._before)
        self._before(signal.SIGTERM, None)
