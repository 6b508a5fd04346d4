"""A supervisord of a test's own, and supervisorctl beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from tests.harness.command import Command, Ran, unstamped
from tests.harness.processes import die_with_parent
from tests.harness.waiting import patience


class Supervisord:
    """``python`` runs both; ``config`` is the file, in whose folder supervisord runs."""

    def __init__(self, python: str, config: Path) -> None:
        self.python, self.config = python, config
        self.process: subprocess.Popen[bytes] | None = None
        self.commands: list[Command] = []

    def launch_supervisord(self, out: Path, **options: Any) -> None:
        """Start it, and return at once; what it prints is added to ``out``."""
        with out.open("ab") as file:
            self.process = subprocess.Popen(
                [self.python, "-m", "supervisor.supervisord", "-n", "-c", self.config],
                cwd=self.config.parent,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=die_with_parent,
                **options,
            )

    def proxy(self, url: str, user: str | None = None, password: str | None = None) -> Any:
        """Its XML-RPC at this URL."""
        transport = SupervisorTransport(user, password, url)
        return ServerProxy("http://127.0.0.1", transport, allow_none=True)

    def ctl_command(self, *args: str) -> list[str]:
        """The command line of ``supervisorctl args``, for who wants to run it otherwise."""
        return [self.python, "-m", "supervisor.supervisorctl", "-c", str(self.config), *args]

    def ctl(self, *args: str, stdin: str = "", deadline_secs: float = 90.0) -> Ran:
        """Run ``supervisorctl args`` to its end. Its output is ``unstamped``."""
        ran = subprocess.run(
            self.ctl_command(*args),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline_secs * patience(),
        )
        return Ran(ran.returncode, unstamped(ran.stdout))

    def ctl_start(self, *args: str) -> Command:
        """Start ``supervisorctl args`` and return at once."""
        self.commands.append(Command(self.ctl_command(*args)))
        return self.commands[-1]
