"""Asks supervisord again and again, and remembers how long each answer took."""

from __future__ import annotations

import threading
import time
from typing import Any


class Prober:
    """Calls getState 20 times a second while its context lasts."""

    EVERY_SECS = 0.05

    def __init__(self, rpc: Any) -> None:
        self._rpc = rpc
        self._secs: list[float] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    @property
    def answers(self) -> int:
        return len(self._secs)

    def percentile_ms(self, percent: float, since: int = 0, until: int | None = None) -> float:
        """How long it took at most in so many of a hundred of these answers."""
        ordered = sorted(self._secs[since:until])
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self.EVERY_SECS):
            began = time.perf_counter()
            self._rpc.supervisor.getState()
            self._secs.append(time.perf_counter() - began)
