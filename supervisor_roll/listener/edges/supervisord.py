"""supervisord, as the listener needs it: its mailbox, its processes' pids, signals through it."""

from __future__ import annotations

import os
import socket
import struct
import xmlrpc.client
from base64 import b64encode
from io import BufferedReader
from typing import Any, TypeVar
from urllib.parse import urlsplit

from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.rollout.errors import BadMessage, RollError
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.mailbox import Reports
from supervisor_roll.wire.program import Processes, ProcessInfo, Program
from supervisor_roll.wire.successor import Preflight, Reread, Succession

_T = TypeVar("_T")

# supervisord answers a plain call within its loop's pass; one that takes longer is hung.
TIMEOUT_SECS = 10.0


class SupervisordError(RollError):
    """supervisord did not do what it was asked; the text says why."""


class Unreachable(SupervisordError):
    """It did not answer, or not so that it can be read."""


class Refused(SupervisordError):
    """supervisord answered with a fault; ``code`` is its number, ``text`` the rest of it."""

    def __init__(self, method: str, fault: xmlrpc.client.Fault) -> None:
        # supervisor.xmlrpc.RPCError: the code's name, and what is to be said, if anything.
        self.code = fault.faultCode
        self.text = fault.faultString.partition(": ")[2] or fault.faultString
        super().__init__(f"supervisord refused {method}: {fault.faultString}")


class _Transport(xmlrpc.client.Transport):
    """To the supervisord that started us, and to nobody who listens in its place.

    What goes through it are the listener's secrets. One connection is kept, and each request is
    sent in one piece: supervisord wakes up for each.
    """

    def __init__(self, username: str | None, password: str | None, serverurl: str) -> None:
        super().__init__()
        url = urlsplit(serverurl)
        self._path = serverurl.removeprefix("unix://") if url.scheme == "unix" else ""
        self._address = url.hostname or "localhost", url.port or 80
        self._parent = os.getppid()
        self._socket: socket.socket | None = None
        self._head = "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
        if username is not None and password is not None:
            secret = b64encode(f"{username}:{password}".encode()).decode()
            self._head += f"Authorization: Basic {secret}\r\n"

    def request(self, host: Any, handler: str, request_body: Any, verbose: bool = False) -> Any:
        """Return what is answered. Raises OSError and xmlrpc.client.Error."""
        if self._socket is None:
            self._socket = self._connected()
            self._answers = self._socket.makefile("rb")
        head = f"{self._head}Content-Length: {len(request_body)}\r\n\r\n"
        self._socket.sendall(head.encode() + request_body)
        text = self._answer(self._answers)
        parser, target = self.getparser()
        parser.feed(text)
        parser.close()
        return target.close()

    def _answer(self, answers: BufferedReader) -> bytes:
        """Return the body of an answer, which supervisord always says the length of.

        http.client takes ten times as long. Raises OSError and ProtocolError.
        """
        version, _, status = answers.readline().decode("latin-1").strip().partition(" ")
        code, _, reason = status.partition(" ")
        headers = {}
        while ":" in (line := answers.readline().decode("latin-1")):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "")
        if not (version.startswith("HTTP/") and code.isdecimal() and length.isdecimal()):
            raise ConnectionError("it closed the connection")
        body = answers.read(int(length))
        if len(body) < int(length):
            raise ConnectionError("it closed the connection in the middle of its answer")
        if (version, code) != ("HTTP/1.1", "200") or headers.get("connection") == "close":
            self.close()
        if code != "200":
            raise xmlrpc.client.ProtocolError("", int(code), reason, headers)
        return body

    def close(self) -> None:
        if self._socket is not None:
            self._answers.close()
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        """Connect. Raises OSError, before anything is said, where it is somebody else."""
        one = self._connected_to_path() if self._path else self._connected_to_address()
        # As long as it lives, its port is its own.
        if os.getppid() != self._parent:
            one.close()
            raise ConnectionRefusedError("supervisord has gone")
        return one

    def _connected_to_path(self) -> socket.socket:
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(self._path)
            credentials = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            # Not by its pid: supervisord listens before it goes into the background.
            _, uid, _ = struct.unpack("3i", credentials)
            supervisord = Credentials.of_process(self._parent)
            if supervisord is None or uid != supervisord.uid:
                raise ConnectionRefusedError(f"user {uid} listens at {self._path}")
        except OSError:
            one.close()
            raise
        return one

    def _connected_to_address(self) -> socket.socket:
        # supervisord binds an IPv4 address alone; a name's IPv6 address is anybody's to bind.
        host, port = self._address
        one = socket.create_connection((socket.gethostbyname(host), port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return one


class Supervisord:
    """XML-RPC to the supervisord that this listener is a child of. Raises SupervisordError."""

    def __init__(
        self, serverurl: str, username: str | None, password: str | None, token: str
    ) -> None:
        """``token`` is what supervisord gave this listener, and no other process."""
        self._token = token
        # SupervisorTransport has no timeout of its own. This process is ours alone.
        socket.setdefaulttimeout(TIMEOUT_SECS)
        self._transport = _Transport(username, password, serverurl)
        self._proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=self._transport)

    def pid(self) -> int:
        """supervisord's own pid."""
        return int(self._call("supervisor.getPID"))

    def exchange(self, text: str) -> str:
        """Put ``text`` into the mailbox and return what is in it for us (wire.mailbox)."""
        return str(self._call("roll.exchange", self._token, text))

    def reports(self, job: str, since: int) -> Reports:
        """Return what was reported of a job after number ``since``; some of it, if it is much."""
        try:
            return from_json(Reports, self._call("roll.reports", job, since))
        except BadMessage as error:
            raise Unreachable(f"roll.reports: {error}") from error

    def program(self, namespec: str, changed: bool = False) -> Program:
        """How it would spawn the process; ``changed``: by what it last reread."""
        more = (True,) if changed else ()
        return self._decoded(Program, "roll.program", namespec, *more)

    def reread(self) -> Reread:
        """Have it read its configuration files, and tell how they differ from what runs."""
        return self._decoded(Reread, "roll.reread")

    def succeed(self, namespec: str) -> Succession:
        """Start the process's successor, from the configuration that was last reread."""
        return self._decoded(Succession, "roll.startSuccessor", namespec)

    def promote(self, namespec: str, drain_secs: float) -> Succession:
        """Give the successor the process's name, and retire the old one within ``drain_secs``."""
        return self._decoded(Succession, "roll.promoteSuccessor", namespec, drain_secs)

    def discard(self, namespec: str) -> Succession:
        """Stop the successor."""
        return self._decoded(Succession, "roll.discardSuccessor", namespec)

    def succession(self, namespec: str) -> Succession:
        """Return what there is of the process and its successor."""
        return self._decoded(Succession, "roll.getSuccession", namespec)

    def start_preflight(self, namespec: str, within_secs: float, changed: bool) -> Preflight:
        """Start the process's preflight; ``changed``: from the configuration last reread."""
        return self._decoded(Preflight, "roll.startPreflight", namespec, within_secs, changed)

    def stop_preflight(self, namespec: str) -> Preflight:
        """End it at once."""
        return self._decoded(Preflight, "roll.stopPreflight", namespec)

    def preflight(self, namespec: str) -> Preflight:
        """How the process's last preflight ended, if it has."""
        return self._decoded(Preflight, "roll.getPreflight", namespec)

    def adopt(self, namespec: str) -> None:
        """Have it heed, from now on, the changes of the process that need no restart."""
        self._call("roll.adopt", self._token, namespec)

    def resize(self, group: str) -> None:
        """Start the processes that the configuration has added to the group, stop the dropped."""
        self._call("roll.resize", self._token, group)

    def add(self, group: str) -> None:
        """Take up a new group, as it was last reread."""
        self._call("supervisor.addProcessGroup", group)

    def stop_group(self, group: str) -> None:
        """Ask all of a group's processes to stop, and do not wait."""
        self._call("supervisor.stopProcessGroup", group, False)

    def remove(self, group: str) -> None:
        """Forget a group whose processes have stopped."""
        self._call("supervisor.removeProcessGroup", group)

    def signal(self, namespec: str, name: str) -> None:
        """Have supervisord send the signal, by name, to the process itself."""
        self._call("supervisor.signalProcess", namespec, name)

    def processes(self) -> list[ProcessInfo]:
        """Return all of supervisord's processes."""
        return self._decoded(Processes, "roll.getProcesses").processes

    def _decoded(self, shape: type[_T], method: str, *arguments: str | float) -> _T:
        try:
            return from_json(shape, self._call(method, self._token, *arguments))
        except BadMessage as error:
            raise Unreachable(f"{method}: {error}") from error

    def _call(self, method: str, *arguments: str | bool | float) -> Any:
        try:
            return getattr(self._proxy, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise Refused(method, fault) from fault
        except xmlrpc.client.ProtocolError as error:
            raise Unreachable(f"{method}: HTTP {error.errcode} {error.errmsg}") from error
        except (OSError, xmlrpc.client.Error) as error:
            self._transport.close()
            raise Unreachable(f"{method}: {error}") from error
