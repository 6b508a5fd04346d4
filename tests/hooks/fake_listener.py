"""A listener that keeps listening sockets, and real Gunicorns of any version beside it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket
from supervisor_roll.listener.edges.received import Datagram
from supervisor_roll.wire.datagram import SOCKET_VARIABLE, decode
from supervisor_roll.wire.messages import Ack, Listening, Message, Ready, Starting, Stopping
from supervisor_roll.wire.successor import SUCCESSOR_VARIABLE
from tests.harness import gunicorn_venv
from tests.harness.folders import new_folder
from tests.harness.processes import kill_tree
from tests.harness.waiting import patience, wait_until

_Kind = TypeVar("_Kind", bound=Message)
# What a process of that pid is answered that says this; None: it gets no answer.
Answers = Callable[[int, Message], Message | None]
DEADLINE_SECS = 40.0
HOOKS = "from supervisor_roll.hooks import install; install(globals())\n"
VERSIONS = ("20.1.0", "27.0.1")

# The answer is the pid of the arbiter, unless the environment is asked for.
APPLICATION = """
import json, os

def application(environ, start_response):
    body = str(os.getppid())
    if environ["PATH_INFO"] == "/environment":
        body = json.dumps(dict(os.environ))
    start_response("200 OK", [("Content-Length", str(len(body))), ("Connection", "close")])
    return [body.encode()]
"""


class KeepingListener:
    """Answers in a thread. What it keeps is what was handed in last."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s"
        self.heard: list[tuple[int, Message]] = []
        self.kept: list[tuple[str, int]] = []
        self.starting: dict[str, Any] = {}  # fields of the answer to STARTING
        self.keep_paths = True
        self.unused_paths: list[str] = []  # those that do not stay all the same
        self.wants_sockets_after: set[type[Message]] = set()
        # More fields of the answers, by the sender and what it said; or the whole answers.
        self.more: Callable[[int, Message], dict[str, Any]] = lambda pid, message: {}
        self.answers: Answers | None = None
        self.mute = False  # takes what comes, and answers nothing
        self.hand_ins_lost = 0  # so many of the next are neither kept nor answered
        self._readiness = ReadinessSocket(str(self.path))
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def said(self, kind: type[_Kind], pid: int | None = None) -> list[_Kind]:
        with self._lock:
            return [
                message
                for sender, message in self.heard
                if isinstance(message, kind) and pid in (None, sender)
            ]

    def senders(self, kind: type[Message]) -> set[int]:
        with self._lock:
            return {pid for pid, message in self.heard if isinstance(message, kind)}

    def forget(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._forget()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.forget()

    def _listen(self) -> None:
        while not self._ended.wait(0.01):
            for datagram in self._readiness.receive():
                with self._lock:
                    self._take(datagram)

    def _take(self, datagram: Datagram) -> None:
        message = decode(datagram.data)
        self.heard.append((datagram.sender.pid, message))
        if isinstance(message, Listening) and self.hand_ins_lost:
            self.hand_ins_lost -= 1
            datagram.close()
            if datagram.answer is not None:
                datagram.answer.drop()
            return
        if isinstance(message, Listening) and datagram.fds:
            self._forget()
            self.kept = list(zip(message.sockets, datagram.fds, strict=True))
            datagram.fds = []
        datagram.close()
        if datagram.answer is None:
            return
        if self.mute:
            datagram.answer.drop()
            return
        if self.answers is not None:
            answer = self.answers(datagram.sender.pid, message)
            datagram.answer.drop() if answer is None else datagram.answer.send(answer)
            return
        fields: dict[str, Any] = {}
        fds: list[int] = []
        if isinstance(message, Starting):
            fields = {"sockets": tuple(text for text, _ in self.kept), **self.starting}
            fds = [os.dup(fd) for _, fd in self.kept]  # who sends them closes them
        elif isinstance(message, Stopping):
            fields = {"keep": self.keep_paths, "remove": tuple(self.unused_paths)}
        elif type(message) in self.wants_sockets_after:
            fields = {"want_sockets": True}
        fields |= self.more(datagram.sender.pid, message)
        datagram.answer.send(Ack(**fields), fds)

    def _forget(self) -> None:
        while self.kept:
            os.close(self.kept.pop()[1])


class Gunicorn:
    """One arbiter with its workers."""

    def __init__(
        self, site: Site, name: str, version: str, process: subprocess.Popen[bytes]
    ) -> None:
        self._site, self._name, self.version = site, name, version
        self.process = process
        self.pid = process.pid

    @property
    def log(self) -> str:
        return (self._site.folder / f"{self._name}.log").read_text()

    def workers(self) -> list[int]:
        """Those that have said that they are ready and are there."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return sorted({int(pid) for pid in text.split()} & self._site.listener.senders(Ready))

    def wait_ready(self, count: int = 1) -> Gunicorn:
        def ready() -> bool:
            assert self.process.poll() is None, self.log
            return len(self.workers()) >= count

        wait_until(ready, DEADLINE_SECS, f"{count} ready workers of {self._name}")
        return self

    def send(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        self.send(signum)
        return self.exit_status()

    def exit_status(self) -> int:
        return self.process.wait(DEADLINE_SECS * patience())

    def descriptors(self) -> list[str]:
        """The kinds of what the arbiter has open."""
        links = [str(one.readlink()) for one in Path(f"/proc/{self.pid}/fd").iterdir()]
        return sorted("file" if one.startswith("/") else one.partition(":[")[0] for one in links)


@dataclass
class Site:
    """A folder with an application, a listener, and the Gunicorns that were started there."""

    folder: Path = field(default_factory=new_folder)
    gunicorns: list[Gunicorn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listener = KeepingListener(self.folder)
        (self.folder / "app.py").write_text(APPLICATION)

    def start(
        self,
        version: str,
        configuration: str,
        *,
        name: str = "",
        successor_of: int | None = None,
        stdin: int = subprocess.DEVNULL,
        environment: dict[str, str] | None = None,
    ) -> Gunicorn:
        """A Gunicorn of this version, configured by a file of this text."""
        name = name or f"gunicorn{len(self.gunicorns)}"
        (self.folder / f"{name}.py").write_text(
            f"worker_tmp_dir = {str(self.folder)!r}\ngraceful_timeout = 10\n{configuration}"
        )
        more = dict(environment or {})
        if successor_of is not None:
            more |= {"GUNICORN_PID": str(successor_of), SUCCESSOR_VARIABLE: str(successor_of)}
            self.listener.starting.setdefault("successor", True)
        return self.start_with(
            version, "-c", f"{name}.py", name=name, stdin=stdin, environment=more
        )

    def start_with(
        self,
        version: str,
        *arguments: str,
        name: str = "gunicorn",
        stdin: int = subprocess.DEVNULL,
        environment: dict[str, str] | None = None,
    ) -> Gunicorn:
        """A Gunicorn of this version, "" for the tests' own, with these arguments."""
        env = {
            **os.environ,
            SOCKET_VARIABLE: str(self.listener.path),
            "XDG_RUNTIME_DIR": str(self.folder),
            "PWD": str(self.folder),
        }
        env.pop("GUNICORN_CMD_ARGS", None)
        command = [str(gunicorn_venv(version))] if version else [sys.executable, "-m", "gunicorn"]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *arguments, "app:application"],
                cwd=self.folder,
                env=env | (environment or {}),
                stdin=stdin,
                stdout=log,
                stderr=log,
            )
        self.gunicorns.append(Gunicorn(self, name, version, process))
        return self.gunicorns[-1]

    def close(self) -> None:
        for gunicorn in self.gunicorns:
            if gunicorn.process.poll() is None:
                kill_tree(gunicorn.process.pid)
                gunicorn.process.wait()
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def ask(bind: str, path: str = "/", *, tls: bool = False) -> str:
    """The body of the answer at this bind, on a connection of its own. OSError if there is none."""
    if bind.startswith("unix:"):
        client, address = socket.socket(socket.AF_UNIX), bind.removeprefix("unix:")
    else:
        host, _, port = bind.rpartition(":")
        host = host.strip("[]")
        client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        address = (host, int(port))
    client.settimeout(DEADLINE_SECS * patience())
    with client:
        client.connect(address)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            client = context.wrap_socket(client)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        with suppress(ssl.SSLEOFError):
            while part := client.recv(65536):
                answer += part
        client.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(f"answered {answer!r}")
    return body.decode()


def answering(bind: str, *, tls: bool = False) -> int:
    """The pid of the arbiter that answers here."""
    return int(ask(bind, tls=tls))


class Load:
    """Requests on each bind, one after the other, until stopped: whose they were, what failed."""

    def __init__(self, binds: Sequence[str], *, tls: bool = False) -> None:
        self.answered: list[int] = []
        self.failures: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(one, tls)) for one in binds]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, bind: str, tls: bool) -> None:
        while not self._ended.wait(0.005):
            try:
                self.answered.append(answering(bind, tls=tls))
            except OSError as error:
                self.failures.append(f"{bind}: {error!r}")

    def wait_for(self, pid: int, times: int = 20) -> None:
        """Until this arbiter has answered so often from now on."""
        before = self.answered.count(pid)
        self._until(lambda: self.answered.count(pid) >= before + times, f"answers of {pid}")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, DEADLINE_SECS, what)
