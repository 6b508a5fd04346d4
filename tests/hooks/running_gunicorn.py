"""The real Gunicorn with our hooks in it, and a listener that answers as a test says."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket
from supervisor_roll.wire.datagram import SOCKET_VARIABLE, decode
from supervisor_roll.wire.messages import Ack, Message
from tests.harness.folders import new_folder
from tests.harness.processes import kill_tree
from tests.harness.waiting import patience

DEADLINE_SECS = 40.0

# The application notes what happens to it in the file "log", and does as other files say.
APPLICATION = """
import os, pathlib, time
here = pathlib.Path(__file__).parent

def note(what):
    with open(here / "log", "a") as log:
        log.write(f"{what} {os.getpid()}\\n")

note("importing")
while (here / "wait").exists():
    time.sleep(0.02)
exec((here / "broken").read_text() if (here / "broken").exists() else "")
note("imported")

def application(environ, start_response):
    if environ["PATH_INFO"] == "/_status":
        note("checked")
        assert environ["HTTP_HOST"] == "www.example.org", environ["HTTP_HOST"]
        start_response("503 No" if (here / "sick").exists() else "200 OK", [])
        return [b""]
    note("requested")
    start_response("200 OK", [("Content-Length", "4")])
    return [b"fine"]
"""

Answers = Callable[[int, Message], Message | None]
# The pid as the kernel attests it, and what the process said.
Said = tuple[int, Message]


def acknowledge(pid: int, message: Message) -> Message | None:
    return Ack()


class RunningGunicorn:
    """One Gunicorn. Nothing is heard or answered but within ``hear_until``."""

    def __init__(self, configuration: str, answers: Answers = acknowledge) -> None:
        self.directory = new_folder()
        self.answers = answers
        self.heard: list[Said] = []
        self._clients: list[socket.socket] = []
        self._process: subprocess.Popen[bytes] | None = None
        (self.directory / "app.py").write_text(APPLICATION)
        (self.directory / "gunicorn.conf.py").write_text(
            f"bind = 'unix:{self.directory}/http'\nworker_tmp_dir = '{self.directory}'\n"
            f"{configuration}"
        )
        self._readiness = ReadinessSocket(str(self.directory / "s"))

    def start(self, *arguments: str) -> RunningGunicorn:
        environ = {
            **os.environ,
            SOCKET_VARIABLE: str(self.directory / "s"),
            "XDG_RUNTIME_DIR": str(self.directory),
        }  # for Gunicorn's control socket
        environ.pop("GUNICORN_CMD_ARGS", None)
        with (self.directory / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *arguments, "app:application"],
                cwd=self.directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        return self

    @property
    def arbiter(self) -> int:
        assert self._process is not None
        return self._process.pid

    # --- what the listener hears --------------------------------------------------------------

    def hear_until(self, condition: Callable[[], bool], what: str) -> None:
        """Take and answer messages until the condition holds."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() < began + DEADLINE_SECS * patience(), (
                f"not within {DEADLINE_SECS:g} s: {what}; heard {self.heard}; "
                f"stderr {(self.directory / 'stderr').read_text()}"
            )
            if not select.select([self._readiness], [], [], 0.05)[0]:
                continue
            for datagram in self._readiness.receive():
                message = decode(datagram.data)
                self.heard.append((datagram.sender.pid, message))
                if datagram.answer is not None:
                    answer = self.answers(datagram.sender.pid, message)
                    if answer is None:
                        datagram.answer.drop()
                    else:
                        datagram.answer.send(answer)

    def said(self, kind: type[Message], pid: int | None = None) -> list[Said]:
        """The messages of that kind, of one process or of all."""
        return [one for one in self.heard if isinstance(one[1], kind) and pid in (None, one[0])]

    def kinds(self, pid: int) -> list[type[Message]]:
        return [type(message) for sender, message in self.heard if sender == pid]

    # --- what happens to the application ---------------------------------------------------------

    def notes(self, pid: int | None = None) -> list[str]:
        """What the application noted, in order; of one process or of all."""
        log = self.directory / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        notes = [line.split() for line in lines if len(line.split()) == 2]
        return [what for what, who in notes if pid is None or int(who) == pid]

    def touch(self, name: str, text: str = "") -> None:
        (self.directory / name).write_text(text)

    def forget(self, name: str) -> None:
        (self.directory / name).unlink()

    def connect(self) -> socket.socket | None:
        """Send a request as soon as Gunicorn listens; the connection, or None if it does not."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE_SECS * patience())
        try:
            client.connect(str(self.directory / "http"))
        except OSError:
            client.close()
            return None
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self._clients.append(client)
        return client

    # --- its end ------------------------------------------------------------------------------

    def signal(self, signum: signal.Signals) -> None:
        os.kill(self.arbiter, signum)

    def exit_status(self) -> int:
        """Wait for its end."""
        assert self._process is not None
        return self._process.wait(DEADLINE_SECS * patience())

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self._process is not None and self._process.poll() is None:
            kill_tree(self._process.pid)
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
