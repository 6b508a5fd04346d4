"""An event listener that plays a script: its first argument is the folder where all lies.

A script is a JSON list of steps, played for each request that comes, or has one for each kind:
["report", program, kind, facts], ["status", program, fields], ["until", file],
["done"], ["exit"]. A second argument names a file without which it does not begin to speak.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json


def wait_until(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


class Listener:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.statuses: dict[str, wire.Status] = {}
        transport = SupervisorTransport(None, None, os.environ["SUPERVISOR_SERVER_URL"])
        self.server: Any = ServerProxy("http://localhost", transport=transport)

    def exchange(self, **said: Any) -> wire.Delivery:
        text = to_json(wire.Exchange(os.getpid(), **said))
        return from_json(
            wire.Delivery, self.server.roll.exchange(os.environ["SUPERVISOR_ROLL_TOKEN"], text)
        )

    def look(self, event: str) -> None:
        found = self.exchange()
        if found.watched:
            self.exchange(workers={"of none": {}})  # nobody is to wait for what it has not
        for request in found.requests:
            self.exchange(fetched=[request.id])
            line = json.dumps({**json.loads(to_json(request)), "event": event})
            with (self.folder / "requests").open("a") as out:
                out.write(line + "\n")
            if request.kind == wire.ABORT:
                self.exchange(done=[request.id])
                continue
            steps = json.loads((self.folder / "script").read_text())
            for step, *arguments in steps[request.kind] if isinstance(steps, dict) else steps:
                self.play(request, step, arguments)

    def play(self, request: wire.Request, step: str, arguments: list[Any]) -> None:
        if step == "report":
            program, kind, facts = arguments
            self.exchange(reports=[wire.Report(request.id, program, kind, facts, time.time())])
        elif step == "status":
            program, fields = arguments
            status = wire.Status(by=request.by, job=request.id, **fields)
            self.statuses[program] = status
            self.exchange(statuses=self.statuses)
        elif step == "until":
            wait_until(self.folder / arguments[0])
        elif step == "done":
            self.exchange(done=[request.id])
        elif step == "exit":
            sys.exit(1)
        else:
            raise ValueError(step)

    def run(self) -> None:
        self.exchange(hello=True)
        self.look("")
        while True:
            sys.stdout.write("READY\n")
            sys.stdout.flush()
            header = dict(part.split(":") for part in sys.stdin.readline().split())
            payload = sys.stdin.read(int(header["len"]))
            sys.stdout.write("RESULT 2\nOK")
            sys.stdout.flush()
            self.look(f"{header['eventname']} {payload}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        wait_until(Path(sys.argv[1], sys.argv[2]))
    Listener(Path(sys.argv[1])).run()
