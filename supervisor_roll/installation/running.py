"""A supervisord that runs, as XML-RPC and the process table show it. Nothing is changed there."""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections.abc import Iterator
from typing import Any
from xmlrpc.client import Error, Fault, ServerProxy

from supervisor.options import make_namespec
from supervisor.xmlrpc import Faults, SupervisorTransport

from supervisor_roll.installation.supervisor_conf import Client
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json

POLL_SECS = 0.05
# A dry run waits for workers that boot, which may take long.
PATIENCE_SECS = 15.0
_BY = "supervisor-roll doctor"

Unreachable = (OSError, http.client.HTTPException, Error, BadMessage)


class Silent(Exception):
    """The listener has not answered in time."""


class Running:
    """Raises one of Unreachable where supervisord does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.supervisor = ""
        with self._proxy() as proxy:
            self.pid = int(proxy.supervisor.getPID())
            self.version = str(proxy.supervisor.getSupervisorVersion())
            infos: list[dict[str, Any]] = proxy.supervisor.getAllProcessInfo()
        self.processes = {make_namespec(one["group"], one["name"]): one for one in infos}
        self.roll: wire.Overview | None = None  # None: [rpcinterface:roll] is not loaded
        try:
            with self._proxy() as proxy:
                self.roll = from_json(wire.Overview, proxy.roll.status())
        except Fault as fault:
            if fault.faultCode != Faults.UNKNOWN_METHOD:
                raise
        self.environment = environment_of(self.pid)
        listener = self.roll.listener if self.roll else None
        self.listener_environment = environment_of(listener.pid) if listener else {}

    def dry_run(self, namespec: str, patience_secs: float) -> reports.Facts:
        """Ask what a rollout would do, without a preflight. Raises Silent."""
        ask = wire.Command(wire.DRY_RUN, [namespec], {"preflight": "false"}, _BY)
        with self._proxy() as proxy:
            receipt = from_json(wire.Receipt, proxy.roll.request(to_json(ask)))
        deadline, since = time.monotonic() + patience_secs, 0
        while time.monotonic() < deadline:
            with self._proxy() as proxy:
                found = from_json(wire.Reports, proxy.roll.reports(receipt.id, since))
            for one in found.reports:
                since = one.seq
                if one.kind in reports.ENDS and one.content is not None:
                    return one.content
            time.sleep(POLL_SECS)
        raise Silent(f"no answer within {patience_secs:g} s")

    @contextlib.contextmanager
    def _proxy(self) -> Iterator[Any]:
        client = self._client
        transport = SupervisorTransport(client.username, client.password, client.url)
        with ServerProxy("http://127.0.0.1", transport) as proxy:
            yield proxy


def environment_of(pid: int) -> dict[str, str]:
    """Return a process's environment as of its start; empty if we may not read it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            text = os.fsdecode(file.read(256 * 1024))
    except OSError:
        return {}
    pairs = (one.partition("=") for one in text.split("\0"))
    return {key: value for key, is_one, value in pairs if is_one}


def working_directory(pid: int) -> str:
    """Return where a process runs; empty if we may not know it."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:
        return ""
