"""What other event listeners hear of rollouts, and the example that mails when one has failed."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import MakeSite, Program, Site
from tests.harness.waiting import wait_until

MAIL_LISTENER = Path(__file__).parents[2] / "docs" / "mail_listener.py"

#: Appends each event of the type that is ours as a line of JSON to the file that it is told.
RECORDER = """\
import json, sys
while True:
    print("READY", flush=True)
    header = dict(token.split(":", 1) for token in sys.stdin.readline().split())
    if not header:
        break
    first, _, body = sys.stdin.read(int(header["len"])).partition("\\n")
    if first.startswith("type:supervisor_roll."):
        with open(sys.argv[1], "a") as file:
            print(json.dumps([first.partition(":")[2], json.loads(body)]), file=file)
    print("RESULT 2\\nOK", end="", flush=True)
"""


class Mails(socketserver.ThreadingTCPServer):
    """An SMTP server of this test's: what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.received: list[str] = []


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                assert isinstance(self.server, Mails)
                self.server.received.append(b"".join(lines).decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


@pytest.fixture
def mails() -> Iterator[Mails]:
    with Mails() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def heard(record: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = record.read_text().splitlines() if record.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def with_listeners(site: Site, mails: Mails) -> Path:
    record, recorder = site.folder / "events", site.folder / "recorder.py"
    recorder.write_text(RECORDER)
    to = f"ops@example.com 127.0.0.1:{mails.server_address[1]}"
    for name, command in (("recorder", f"{recorder} {record}"), ("mail", f"{MAIL_LISTENER} {to}")):
        site.write_conf(
            name,
            f"[eventlistener:{name}]\ncommand={sys.executable} {command}\n"
            "events=REMOTE_COMMUNICATION\nbuffer_size=100\n",
        )
    return record


def test_each_rollout_is_announced_and_a_failure_is_mailed(
    make_site: MakeSite, mails: Mails
) -> None:
    site = make_site(Program(workers=2), start=False)
    record = with_listeners(site, mails)
    site.start()
    site.wait_state("recorder", "RUNNING")
    site.wait_state("mail", "RUNNING")
    site.deploy("v2")
    site.roll("web")
    site.ctl("rollrecycle", "web")
    site.deploy("bad", boot="raise")
    site.roll("web", status=1)
    # What is only asked for, or was, is no rollout.
    site.roll("web", "--dry-run", "--no-preflight")
    site.ctl("rollabort", "web")
    site.ctl("rollhistory", "3")

    wait_until(lambda: len(heard(record)) >= 5 and mails.received, 20, "what is told has arrived")
    events = heard(record)
    assert [type.removeprefix("supervisor_roll.") for type, _ in events] == [
        *("started", "complete", "recycled", "started", "failed"),
    ]
    bodies = [body for _, body in events]
    assert {body["program"] for body in bodies} == {"web"}
    assert {body["version"] for body in bodies} == {1}
    assert bodies[0]["job"] == bodies[1]["job"] != bodies[2]["job"]
    assert bodies[0]["by"].startswith("supervisorctl rollrestart (")
    assert bodies[1]["facts"]["replaced"] == 2
    assert [(body["kind"], body["facts"]["replaced"]) for body in bodies[2:5:2]] == [
        ("complete", 1),
        ("failed", 0),
    ]
    [mail] = mails.received
    assert "Subject: web: rollout failed" in mail
    assert "ImportError: release bad lacks a module" in mail.replace("=\r\n", "")
