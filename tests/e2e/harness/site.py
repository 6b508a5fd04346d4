"""A real supervisord with Gunicorn programs, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, NamedTuple

from supervisor.xmlrpc import SupervisorTransport

from harness import processes
from harness.configuration import Program, main_conf
from harness.load import Address, Load
from harness.observe import Observer, Sample, WorkerTable
from harness.venvs import CHECKOUT
from harness.waiting import wait_until

APPS = Path(__file__).resolve().parents[1] / "apps"
_BIN = Path(sys.executable).parent

class Ran(NamedTuple):
    """What a command came to; ``output`` has its standard output and error."""

    status: int
    output: str


class Site:
    """``programs`` under a supervisord of their own, with our parts in it unless ``roll`` is False.

    Everything is in ``folder``: ``logs``, ``run`` (sockets), ``conf.d``, ``releases`` and the
    symlink ``current`` to the release that is deployed, at first "v1". As a context
    manager it starts, stops, and removes its folder.
    """

    def __init__(self, *programs: Program, roll: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="site."))
        self.current = self.folder / "current"
        self.programs: dict[str, Program] = {}
        self._roll = roll
        self._daemon: subprocess.Popen[bytes] | None = None
        for name in ("logs", "run", "conf.d", "releases", "tmp"):
            (self.folder / name).mkdir()
        self.config = self.folder / "supervisord.conf"
        self.config.write_text(main_conf(self.folder, roll))
        if roll:
            shutil.copy(CHECKOUT / "conf.d" / "roll.conf", self.folder / "conf.d")
        for program in programs:
            self.write(program)
        self.add_release("v1")
        self.deploy("v1")

    # ---- what is on the disk ----

    def write(self, program: Program) -> None:
        """Write the configuration of ``program``, anew if it is there; supervisord is not told."""
        self.programs[program.name] = program
        (self.folder / f"{program.name}.conf.py").write_text(program.gunicorn_conf(self.current))
        conf = self.folder / "conf.d" / f"{program.name}.conf"
        conf.write_text(program.supervisor_conf(self.folder))

    def add_release(
        self, name: str, *, boot: str = "ok", boot_secs: float | None = None, status: int = 200
    ) -> Path:
        """Make the release ``name``, which is not deployed yet; its folder.

        ``boot`` is what its import does after its seconds: "ok", "raise" (an ImportError),
        "exit" (status 1) or "hang" (for ever). ``status`` is what its health check answers.
        """
        folder = self.folder / "releases" / name
        shutil.copytree(APPS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        written = {"release": name, "boot": boot, "boot_secs": boot_secs, "status": status}
        (folder / "release.json").write_text(json.dumps(written))
        return folder

    def deploy(self, name: str) -> None:
        """Point the symlink ``current`` to release ``name``, at one stroke; no process is told."""
        link = self.folder / "current.new"
        link.symlink_to(self.folder / "releases" / name)
        link.replace(self.current)

    def log(self, name: str) -> str:
        """The text of ``logs/NAME.log``: "supervisord", or a process name."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def log_tails(self, lines: int = 40) -> str:
        """The last lines of every log, for a person who looks for what went wrong."""
        tails = []
        for log in sorted((self.folder / "logs").glob("*")):
            text = log.read_text(errors="replace").splitlines()
            if text:
                tails.append("\n".join([f"==> {log.name} <==", *text[-lines:]]))
        return "\n".join(tails)

    # ---- supervisord ----

    def start(self, deadline_secs: float = 30.0) -> Site:
        """Start supervisord, and wait until all is well: our listener is known to it, every
        process is RUNNING, and all workers are ready."""
        self.start_supervisord()
        if self._roll:
            wait_until(self._has_listener, deadline_secs, "our listener is known to supervisord")
        for program in self.programs.values():
            for namespec in program.processes:
                self.wait_ready(namespec, program.workers, deadline_secs)
                self.wait_state(namespec, "RUNNING", deadline_secs)
        return self

    def start_supervisord(self, deadline_secs: float = 15.0) -> None:
        """Start supervisord, and wait until it answers; programs may still be starting."""
        environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TZ")},
            # Gunicorn's control socket goes into the home of its user.
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            processes.STAMP: str(self.folder),
        }
        with (self.folder / "logs" / "supervisord.out").open("ab") as out:
            self._daemon = subprocess.Popen(
                [_BIN / "supervisord", "-c", self.config],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is for us alone
                preexec_fn=processes.die_with_parent,
            )
        wait_until(self._answers, deadline_secs, "supervisord answers")

    def stop(self, deadline_secs: float = 15.0) -> None:
        """End supervisord as its operator would, then KILL whatever is left of the site."""
        if self._daemon is not None:
            if self._daemon.poll() is None:
                self._daemon.terminate()
            deadline = time.monotonic() + deadline_secs
            while self._daemon.poll() is None and time.monotonic() < deadline:
                self._nudge()
                time.sleep(0.05)
            if self._daemon.poll() is None:
                self._daemon.kill()
                self._daemon.wait()
            self._daemon = None
        processes.kill(processes.stamped(str(self.folder)))

    def remove(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder)

    def keep(self, destination: Path) -> Path:
        """Move its folder, stopped, to ``destination``, in place of what was kept there before."""
        shutil.rmtree(destination, ignore_errors=True)
        destination.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.folder / "run").iterdir():
            if path.is_socket():
                path.unlink()
        return Path(shutil.move(self.folder, destination))

    def __enter__(self) -> Site:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.remove()

    @property
    def supervisord_pid(self) -> int:
        assert self._daemon is not None, "not started"
        return self._daemon.pid

    @property
    def rpc(self) -> Any:
        """A proxy of supervisord's XML-RPC: ``site.rpc.supervisor.getState()``."""
        server = f"unix://{self.folder}/run/supervisor.sock"
        return xmlrpc.client.ServerProxy(
            "http://127.0.0.1", SupervisorTransport(None, None, server), allow_none=True
        )

    def ctl_command(self, *args: str) -> list[str]:
        """The command line of ``supervisorctl args``, for who wants to run it otherwise."""
        return [str(_BIN / "supervisorctl"), "-c", str(self.config), *args]

    def ctl(self, *args: str, deadline_secs: float = 90.0) -> Ran:
        """Run ``supervisorctl args`` to its end."""
        ran = subprocess.run(
            self.ctl_command(*args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline_secs,
        )
        return Ran(ran.returncode, ran.stdout)

    def ctl_start(self, *args: str) -> subprocess.Popen[str]:
        """Start ``supervisorctl args`` and return at once; output and error are one pipe."""
        return subprocess.Popen(
            self.ctl_command(*args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pid(self, namespec: str) -> int:
        """The pid that supervisord has for a process: a program's arbiter. 0 if it has none."""
        return self.rpc.supervisor.getProcessInfo(namespec)["pid"]

    def state(self, namespec: str) -> str:
        """The state that supervisord has for a process, such as RUNNING."""
        return self.rpc.supervisor.getProcessInfo(namespec)["statename"]

    def _nudge(self) -> None:
        """Wake supervisord's loop, which else notices the end of a child up to 1 s later."""
        with socket.socket(socket.AF_UNIX) as nudge:
            nudge.settimeout(0.5)
            try:
                nudge.connect(f"{self.folder}/run/supervisor.sock")
            except OSError:
                pass  # it has closed its server already

    def _answers(self) -> bool:
        assert self._daemon is not None
        if self._daemon.poll() is not None:
            raise AssertionError(f"supervisord left:\n{self.log_tails()}")
        try:
            return self.rpc.supervisor.getState()["statename"] == "RUNNING"
        except (OSError, xmlrpc.client.Error):
            return False

    def _has_listener(self) -> bool:
        listener = json.loads(self.rpc.roll.status())["listener"]
        return listener is not None and listener["state"] == "RUNNING"

    # ---- its workers and its load ----

    def workers(self, namespec: str) -> Sample:
        """The workers of a process as the kernel shows them right now."""
        return WorkerTable(self.pid(namespec)).sample()

    def wait_state(self, namespec: str, state: str, deadline_secs: float = 30.0) -> None:
        """Wait until supervisord has a process in ``state``."""
        wait_until(lambda: self.state(namespec) == state, deadline_secs, f"{namespec} is {state}")

    def wait_ready(self, namespec: str, workers: int, deadline_secs: float = 30.0) -> Sample:
        """Wait until a process has exactly ``workers`` children and all are ready."""

        def settled() -> Sample | None:
            pid = self.pid(namespec)
            sample = WorkerTable(pid).sample() if pid else None
            if sample and len(sample.children) == len(sample.ready) == workers:
                return sample
            return None

        return wait_until(settled, deadline_secs, f"{namespec} has {workers} ready workers", 0.05)

    def wait_replaced(self, namespec: str, old: Sample, deadline_secs: float = 30.0) -> Sample:
        """Wait until as many ready workers as ``old`` had run, and none of the old ones."""

        def replaced() -> Sample | None:
            sample = self.workers(namespec)
            gone = not sample.children & old.children
            settled = len(sample.children) == len(sample.ready) == len(old.children)
            return sample if gone and settled else None

        return wait_until(replaced, deadline_secs, f"{namespec}'s workers are replaced", 0.05)

    def observe(self, namespec: str, every_secs: float = 0.02) -> Observer:
        """An observer of the process's present arbiter, to be used as a context manager."""
        return Observer(self.pid(namespec), every_secs)

    def address(self, namespec: str) -> Address:
        """Where a process listens."""
        program = self.programs[namespec.partition(":")[0]]
        return program.address(self.folder / "run", namespec)

    def load(self, namespec: str, **options: Any) -> Load:
        """Load on a process, not started yet; ``options`` are those of ``Load``."""
        return Load(self.address(namespec), **options)
