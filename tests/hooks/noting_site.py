"""One Gunicorn with an application that notes what happens to it, and answers as a test says."""

from __future__ import annotations

import socket
from collections.abc import Callable

from supervisor_roll.wire.messages import Ack, Message
from tests.harness.waiting import patience, wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, Answers, Gunicorn, Site

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
    while (here / "held").exists():
        time.sleep(0.02)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"fine"]
"""


def acknowledge(pid: int, message: Message) -> Message | None:
    return Ack()


class NotingSite(Site):
    """A Gunicorn of this version ("": the tests' own) with this configuration, not started yet."""

    def __init__(
        self, configuration: str, answers: Answers = acknowledge, version: str = ""
    ) -> None:
        super().__init__()
        self.listener.answers = answers
        self._version = version
        self._clients: list[socket.socket] = []
        self.touch("app.py", APPLICATION)
        self.touch(
            "gunicorn.conf.py",
            f"bind = 'unix:{self.folder}/http'\nworker_tmp_dir = '{self.folder}'\n{configuration}",
        )

    def run(self, *arguments: str) -> NotingSite:
        self.start_with(self._version, *arguments)
        return self

    @property
    def gunicorn(self) -> Gunicorn:
        return self.gunicorns[0]

    # --- what the listener hears --------------------------------------------------------------

    def hear_until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, DEADLINE_SECS, f"{what}; heard {self.listener.heard}")

    def said(self, kind: type[Message], pid: int | None = None) -> list[tuple[int, Message]]:
        """The messages of that kind, of one process or of all, each with its sender."""
        heard = list(self.listener.heard)
        return [one for one in heard if isinstance(one[1], kind) and pid in (None, one[0])]

    def kinds(self, pid: int) -> list[type[Message]]:
        return [type(message) for sender, message in list(self.listener.heard) if sender == pid]

    # --- what happens to the application ------------------------------------------------------

    def notes(self, pid: int | None = None) -> list[str]:
        """What the application noted, in order; of one process or of all."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        notes = [line.split() for line in lines if len(line.split()) == 2]
        return [what for what, who in notes if pid is None or int(who) == pid]

    def touch(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def forget(self, name: str) -> None:
        (self.folder / name).unlink()

    def connect(self) -> socket.socket | None:
        """Send a request as soon as Gunicorn listens; the connection, or None if it does not."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE_SECS * patience())
        try:
            client.connect(str(self.folder / "http"))
        except OSError:
            client.close()
            return None
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        super().close()
