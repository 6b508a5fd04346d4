"""The drain of Gunicorn's gevent (and, up to 25, eventlet) workers: their own, but for its length.

They finish what is under way, with a heartbeat, and say ``Connection: close`` meanwhile.
"""

from __future__ import annotations

import signal

from supervisor_roll.hooks.drain.lame_duck import STOP_SECS, LameDuck, as_handler, set_handler


class GeventDrain(LameDuck):
    def arm(self) -> None:
        self._before = set_handler(as_handler(self.termed))

    def run(self) -> None:
        """Only have it wait for as long as is allowed: it reads that once it waits."""
        self.over = True
        secs = self.ends_in_secs()
        self.worker.cfg.set("graceful_timeout", max(1, int(max(secs - STOP_SECS, secs / 2))))
        self.resume()

    def resume(self) -> None:
        set_handler(self._before)
        self._before(signal.SIGTERM, None)
