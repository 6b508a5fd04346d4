"""A real supervisord, of any version, whose programs' file a test rewrites."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import psutil
import pytest

from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.successor import Reread, Succession
from tests.rpc.supervised import DEAF_LISTENER, PROGRAMS, Supervised, wait_for

RECORDER = (
    f"/bin/sh -c 'exec {sys.executable} {Path(__file__).with_name('recording_listener.py')}"
    " {folder}/events' -m supervisor_roll.listener"
)
PLAIN = "command=sleep 1000\nstartsecs=0"
UNCHANGED = [[[], [], []]]


class Succeeding(Supervised):
    """``programs`` are the sections of the included file, where {folder} is the site's own."""

    def __init__(self, programs: str, python: str, listener: str = DEAF_LISTENER) -> None:
        super().__init__(listener, python=python)
        self.included = self.folder / "programs.conf"
        self.folder.chmod(0o755)
        self.write(programs)

    def start(self) -> Succeeding:
        """Start supervisord, and return when what it starts by itself runs."""
        self.launch()
        wait_for(
            lambda: (
                {one["statename"] for one in self.server.supervisor.getAllProcessInfo()}
                <= {"RUNNING", "STOPPED"}
            )
        )
        wait_for(lambda: self.processes())
        return self

    def _configuration(self, *arguments: Any) -> str:
        return (
            super()._configuration(*arguments).replace(PROGRAMS, "[include]\nfiles=programs.conf\n")
        )

    def write(self, programs: str) -> None:
        text = programs.replace("{folder}", str(self.folder))
        self.included.write_bytes(text.encode(errors="surrogateescape"))

    def change(self, programs: str) -> Reread:
        """Rewrite the file, and have it reread."""
        self.write(programs)
        return self.reread()

    # --- the methods ------------------------------------------------------------------------

    def reread(self) -> Reread:
        return from_json(Reread, self.listener.reread())

    def succeed(self, name: str = "myapp") -> Succession:
        return from_json(Succession, self.listener.startSuccessor(name))

    def promote(self, name: str = "myapp", drain_secs: float = 60) -> Succession:
        return from_json(Succession, self.listener.promoteSuccessor(name, drain_secs))

    def discard(self, name: str = "myapp") -> Succession:
        return from_json(Succession, self.listener.discardSuccessor(name))

    def succession(self, name: str = "myapp") -> Succession:
        return from_json(Succession, self.listener.getSuccession(name))

    def replace(self, name: str = "myapp") -> Succession:
        """A round: the successor is there, is promoted, and the old process is gone."""
        self.succeed(name)
        self.promote(name)
        return wait_for(lambda: (found := self.succession(name)).retiring == 0 and found)

    # --- what is seen of it -------------------------------------------------------------------

    def processes(self) -> dict[str, tuple[int, str]]:
        """supervisord's view: pid and state by name, without the listener's."""
        infos = self.server.supervisor.getAllProcessInfo()
        names = [f"{one['group']}:{one['name']}" for one in infos]
        assert len(set(names)) == len(names), "each is shown once"
        return {
            name.replace("myapp:myapp", "myapp"): (one["pid"], one["statename"])
            for name, one in zip(names, infos, strict=True)
            if one["group"] != "roll"
        }

    def pid(self, name: str = "myapp") -> int:
        return int(self.info(name)["pid"])

    def wait_names(self, *names: str) -> None:
        wait_for(lambda: sorted(self.processes()) == sorted(names))

    def reload_config(self) -> Any:
        """supervisor's own: what is added, changed and removed."""
        return self.server.supervisor.reloadConfig()

    def log(self, name: str) -> str:
        return (self.folder / name).read_text()

    @property
    def events(self) -> list[str]:
        """What the recording listener was told."""
        path = self.folder / "events"
        return path.read_text().splitlines() if path.exists() else []


def environ(pid: int) -> dict[str, str]:
    """What the process was started with; waits until it has executed its command."""
    wait_executed(pid)
    text = Path(f"/proc/{pid}/environ").read_text()
    return dict(line.split("=", 1) for line in text.split("\0") if line)


def wait_executed(pid: int) -> None:
    """Until the forked child is supervisord's image no more."""
    wait_for(lambda: b"SUPERVISOR_ENABLED=" in Path(f"/proc/{pid}/environ").read_bytes())


def umask(pid: int) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Umask:"))


def descriptors(pid: int) -> list[str]:
    """The kinds and files of what the process has open, but sockets: those come with callers."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(one.readlink()).split(":")[0])
        except FileNotFoundError:
            pass  # it has just been closed
    return sorted(one for one in found if one != "socket")


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def fault(call: Callable[..., Any], *arguments: Any) -> tuple[int, str]:
    """The code and the text of the fault that the call must end with."""
    with pytest.raises(Fault) as caught:
        call(*arguments)
    return caught.value.faultCode, caught.value.faultString


def as_root() -> bool:
    return os.getuid() == 0


def group(programs: str, priority: str = "") -> str:
    """[group:web] of some of the programs one, two and three."""
    return f"[group:web]\nprograms={programs}\n{priority}\n" + "".join(
        f"[program:{name}]\n{PLAIN}\n" for name in ("one", "two", "three") if name in programs
    )


def keys(found: Reread) -> dict[str, dict[str, str]]:
    """The changed keys, with what each takes, by namespec."""
    return {change.namespec: change.keys for change in found.changes}
