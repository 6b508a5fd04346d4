"""The drain of Gunicorn's gthread workers.

Up to 23 they just close what is kept alive when they stop, and 21 to 23 also drop connections
that they have accepted and not read from yet (benoitc/gunicorn#3038); 25 and 26 wait for
``graceful_timeout`` if an idle connection is left; 27 keeps those 2 s, whatever ``keepalive`` is.
Up to 26 a worker that stops has no heartbeat, so that long requests are ended at ``timeout``.
"""

from __future__ import annotations

import _thread
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.drain.lame_duck import TICK_SECS, LameDuck, as_handler, set_handler

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import ThreadWorker


class GthreadDrain(LameDuck):
    worker: ThreadWorker

    def arm(self) -> None:
        self._before = set_handler(as_handler(self.termed))

    def termed(self) -> None:
        if self.over:  # the signal that we send ourselves when the drain is done
            self.resume()
        else:
            super().termed()

    def run(self) -> None:
        # threading.Thread would take a lock that this, a signal handler, may have interrupted
        # the pool's own start of a thread in.
        _thread.start_new_thread(self._keep_time, ())

    def _keep_time(self) -> None:
        while self.advance():
            time.sleep(TICK_SECS)
        os.kill(os.getpid(), signal.SIGTERM)

    def resume(self) -> None:
        set_handler(self._before)
        self._before(signal.SIGTERM, None)

    def ask_to_close(self) -> None:
        self.worker.max_keepalived = 0

    def connections(self) -> int:
        return int(self.worker.nr_conns)

    def busy(self) -> bool:
        worker: Any = self.worker  # whose fields differ by version
        if hasattr(worker, "futures"):
            return bool(worker.futures)
        waiting = len(worker.keepalived_conns) + len(getattr(worker, "pending_conns", ()))
        return bool(worker.nr_conns > waiting)

    def stop_accepting(self) -> None:
        worker: Any = self.worker  # whose fields differ by version
        if hasattr(worker, "set_accept_enabled"):
            # Its loop compares these at each turn, and stops accepting.
            worker.worker_connections = 0
            worker.method_queue.defer(lambda: None)  # wakes the loop
        else:
            with worker._lock:
                for sock in worker.sockets:
                    worker.poller.unregister(sock)
