"""When the listener has had nothing to do for long enough, and becomes its stand-in."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping

from supervisor_roll.listener.coordinator import Coordinator
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.idle.handover import Handover, become_stand_in
from supervisor_roll.listener.in_service.agents import Agents

log = logging.getLogger("supervisor_roll")

IDLE_SECS = 120.0
SECS_VARIABLE = "SUPERVISOR_ROLL_IDLE_SECS"


class Rest:
    """Of one listener. ``secs`` may be 0: never."""

    def __init__(
        self,
        secs: float,
        supervisord: int,
        coordinator: Coordinator,
        readiness: ReadinessSocket,
        table: ProcessTable,
        agents: Agents,
    ) -> None:
        self._secs, self._supervisord = secs, supervisord
        self._coordinator, self._readiness, self._table = coordinator, readiness, table
        self._agents = agents
        self._failures = Seldom()
        self._handled = 0
        self.due_at: float | None = None
        self.put_off()

    def put_off(self) -> None:
        """Something has come up."""
        self.due_at = time.monotonic() + self._secs if self._secs else None

    def tick(self, reading: bool) -> None:
        """Rest, if it is time to. ``reading``: an event of supervisord's is not yet complete."""
        if self._readiness.handled != self._handled:
            # Also by what is not heard: who says such things would wake us again at once.
            self._handled = self._readiness.handled
            self.put_off()
        if self.due_at is None or time.monotonic() < self.due_at:
            return
        self.put_off()
        if self._agents.listens:
            return  # they are asked every few seconds
        watched = self._coordinator.watched_at_rest()
        if watched is None or reading or self._readiness.wrong:
            return
        with self._readiness.silenced() as silent:
            if silent:
                self._become_stand_in(watched.files, watched.look_secs)

    def _become_stand_in(self, files: Mapping[str, str], look_secs: float | None) -> None:
        handover = Handover(
            os.getpid(),
            self._supervisord,
            self._readiness.bound,
            self._coordinator.keeper.store.held,
        )
        try:
            become_stand_in(handover, self._table.pidfds, files, self._readiness.paths, look_secs)
        except OSError as error:
            self._failures.warn("the listener stays as large as it is: %s", error)


def idle_secs(environ: Mapping[str, str]) -> float:
    """Return how long there must be nothing to do."""
    text = environ.get(SECS_VARIABLE) or str(IDLE_SECS)
    try:
        secs = float(text)
    except ValueError:
        secs = -1
    if not 0 <= secs < float("inf"):
        log.error("%s=%s is no number of seconds: it is %g", SECS_VARIABLE, text, IDLE_SECS)
        return IDLE_SECS
    return secs
