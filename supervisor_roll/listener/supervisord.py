"""supervisord, as the listener needs it: its mailbox, its processes' pids, signals through it."""

from __future__ import annotations

import socket
import xmlrpc.client
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from supervisor.options import make_namespec
from supervisor.xmlrpc import SupervisorTransport

from supervisor_roll.rollout.errors import RollError

# supervisord answers a plain call within its loop's pass; one that takes longer is hung.
TIMEOUT_SECS = 10.0


class Unreachable(RollError):
    """supervisord did not do what it was asked; the text says why."""


@dataclass(frozen=True)
class ProcessInfo:
    """One of supervisord's processes: its namespec, pid (0 if it has none) and state's name."""

    namespec: str
    pid: int
    state: str


class Supervisord:
    """XML-RPC to the supervisord that this listener is a child of. Raises Unreachable."""

    def __init__(self, serverurl: str, username: str | None, password: str | None,
                 token: str = "") -> None:
        self._token = token
        # SupervisorTransport has no timeout of its own. This process is ours alone.
        socket.setdefaulttimeout(TIMEOUT_SECS)
        self._transport = SupervisorTransport(username, password, serverurl)
        self._proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=self._transport)

    def exchange(self, text: str) -> str:
        """Put ``text`` into the mailbox and return what is in it for us (wire.mailbox)."""
        return str(self._call("roll.exchange", text))

    def program(self, namespec: str) -> str:
        """How it would spawn the process (wire.program)."""
        return str(self._call("roll.program", namespec, self._token))

    def signal(self, namespec: str, name: str) -> None:
        """Have supervisord send the signal, by name, to the process itself."""
        self._call("supervisor.signalProcess", namespec, name)

    def processes(self) -> list[ProcessInfo]:
        infos: Any = self._call("supervisor.getAllProcessInfo")
        return [ProcessInfo(make_namespec(info["group"], info["name"]), info["pid"],
                            info["statename"]) for info in infos]

    def _call(self, method: str, *arguments: str) -> Any:
        try:
            return getattr(self._proxy, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise Unreachable(f"supervisord refused {method}: {fault.faultString}") from fault
        except xmlrpc.client.ProtocolError as error:
            raise Unreachable(f"{method}: HTTP {error.errcode} {error.errmsg}") from error
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            self._transport.close()
            raise Unreachable(f"{method}: {error}") from error
