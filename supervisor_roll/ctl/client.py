"""The ``roll`` methods of supervisord, as supervisorctl reaches them.

All are plain calls, answered at once. Each goes over a connection of its own: a poll
every 0.15 s costs nothing, and a connection that broke is nobody's concern.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Any
from xmlrpc.client import Fault

from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json
from supervisor_roll.wire.workers import Workers

POLL_SECS = 0.15
# How long a listener that was just started may take until it speaks.
LISTENER_SECS = 10.0

# What a call raises while supervisord cannot be reached.
Unreachable = (OSError, http.client.HTTPException)


class RollClient:
    """Raises Fault as supervisord does, ProtocolError, one of Unreachable, and BadMessage."""

    def __init__(self, ctl: Any) -> None:
        self._ctl = ctl

    def request(self, ask: wire.Command, waits: Callable[[], None]) -> wire.Receipt:
        """Ask, again and again while a listener is on its way; ``waits`` is called once then."""
        deadline = time.monotonic() + LISTENER_SECS
        told = False
        while True:
            try:
                return from_json(wire.Receipt, self._call("request", to_json(ask)))
            except Fault as fault:
                if wire.NO_LISTENER_YET not in fault.faultString or time.monotonic() > deadline:
                    raise
            if not told:
                waits()
                told = True
            time.sleep(POLL_SECS)

    def reports(self, job: str, since: int) -> wire.Reports:
        return from_json(wire.Reports, self._call("reports", job, since))

    def answer(self, job: str) -> list[wire.Report]:
        """Return all that is reported of a job that ends at once. Raises TimeoutError if not."""
        deadline = time.monotonic() + LISTENER_SECS
        found: list[wire.Report] = []
        while True:
            more = self.reports(job, found[-1].seq if found else 0)
            found += more.reports
            if more.done:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"the listener has not answered for {LISTENER_SECS:g} s")
            if not more.reports:
                time.sleep(POLL_SECS)

    def overview(self) -> wire.Overview:
        return from_json(wire.Overview, self._call("status"))

    def workers(self, names: list[str]) -> Workers:
        """Return these programs' workers (none: all programs'), which are told for 5 s from now."""
        return from_json(Workers, self._call("workers", names))

    def process_names(self) -> list[tuple[str, str]]:
        """Return the group and the name of each process of supervisord."""
        infos = self._ctl.get_supervisor().getAllProcessInfo()
        return [(info["group"], info["name"]) for info in infos]

    def _call(self, method: str, *arguments: object) -> object:
        with self._ctl.get_server_proxy() as proxy:
            return getattr(proxy.roll, method)(*arguments)
