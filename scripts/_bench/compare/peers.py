"""Who deploys: rollrestart, and what people use in its place, each as its documentation says.

Another peer is one more class, and its name in PEERS.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Protocol

from compare.ground import Ground
from compare.scenarios import WORKERS
from tests.harness import Program, Site
from tests.harness.venvs import packages_venv

_GUNICORN = Path(sys.executable).with_name("gunicorn")


class Peer(Protocol):
    """Made with the ground that it serves on. What it spawns there ends with it."""

    #: What the tables call it, and what is said of it below them.
    title: ClassVar[str]
    note: ClassVar[str]
    #: What pip is to install for it, in an environment of its own: its command has that name too.
    package: ClassVar[str] = ""

    def __init__(self, ground: Ground) -> None: ...

    def start(self) -> None:
        """Have it serve what ``ground.current`` leads to with ``WORKERS`` workers on the port; it
        need not have booted."""
        ...

    def roll(self) -> None:
        """Have it serve what ``ground.current`` leads to now; return once there is nothing more to
        do, be it before the new workers have booted."""
        ...

    def stop(self) -> None:
        """Stop what would not end with the ground."""
        ...


class _Spawned:
    """A peer whose processes are the ground's alone."""

    package = ""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def stop(self) -> None:
        pass


class _Supervised:
    """A Gunicorn under supervisord, without our parts in either."""

    package = ""
    ours = False

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        kept = ground.scenario.kept
        program = Program(
            app="shop:app",
            workers=WORKERS,
            worker_class="gthread" if kept else "sync",
            port=ground.port,
            conf=f"chdir = {str(ground.current)!r}",
            hooks=self.ours,
            roll={"health": "/"} if self.ours else None,
            section={"autorestart": "true"},
        )
        self.site = Site(program, roll=self.ours)

    def start(self) -> None:
        self.site.start()

    def stop(self) -> None:
        self.site.stop()
        self.site.remove()

    def ctl(self, *command: str) -> None:
        """Run supervisorctl to its end, or until the scenario's time is up."""
        try:
            subprocess.run(
                self.site.ctl_command(*command),
                stdout=subprocess.DEVNULL,
                timeout=self.ground.scenario.limit_secs,
            )
        except subprocess.TimeoutExpired:
            pass


class RollWorkers(_Supervised):
    title = "rollrestart"
    note = (
        "``supervisorctl rollrestart``, with ``health=/`` and the defaults of all other settings."
    )
    ours = True

    def roll(self) -> None:
        self.ctl("rollrestart", "web")


class RollArbiter(_Supervised):
    title = "rollrestart, arbiter"
    note = "The same with ``--strategy arbiter``: as it is done for a changed configuration."
    ours = True

    def roll(self) -> None:
        self.ctl("rollrestart", "--strategy", "arbiter", "web")


class Hup(_Supervised):
    title = "Gunicorn HUP"
    note = "``supervisorctl signal HUP``: Gunicorn's own reload."

    def roll(self) -> None:
        self.ctl("signal", "HUP", "web")


class Restart(_Supervised):
    title = "supervisorctl restart"
    note = "``supervisorctl restart``."

    def roll(self) -> None:
        self.ctl("restart", "web")


class Classic(_Supervised):
    title = "classic script"
    note = (
        "TERM to one worker of Gunicorn, wait until the application says that the one in its "
        "place has booted, and so on; it gives up when none comes."
    )

    def roll(self) -> None:
        old = self.ground.sample().children
        for fresh, pid in enumerate(sorted(old), 1):
            self.ground.signal(pid, signal.SIGTERM)
            if not self.ground.wait_fresh(old, fresh):
                return


class Usr2(_Spawned):
    title = "Gunicorn USR2"
    note = (
        "By hand, with Gunicorn as a daemon and so without supervisord: USR2, wait until all new "
        "workers have booted, WINCH to the old arbiter, wait until its workers have gone, QUIT."
    )

    def start(self) -> None:
        self.pidfile = self.ground.folder / "pid"
        options = f"--daemon --pid {self.pidfile} --chdir {self.ground.current} -w {WORKERS} -k "
        options += "gthread" if self.ground.scenario.kept else "sync"
        log = ("--capture-output", "--error-logfile", self.ground.folder / "log")
        bind = ("-b", f"127.0.0.1:{self.ground.port}")
        self.ground.spawn(_GUNICORN, *options.split(), *log, *bind, "shop:app").wait()

    def roll(self) -> None:
        old, arbiter = self.ground.sample().children, int(self.pidfile.read_text())
        self.ground.signal(arbiter, signal.SIGUSR2)
        if not self.ground.wait_fresh(old, WORKERS):
            return
        self.ground.signal(arbiter, signal.SIGWINCH)
        self.ground.wait(lambda now: not now.children & old)
        self.ground.signal(arbiter, signal.SIGQUIT)


class Uwsgi(_Spawned):
    title = "uWSGI chain reload"
    package = "uwsgi"
    note = (
        "``c`` to the master's FIFO, with ``lazy-apps`` and ``need-app``; ``http-socket``, and for "
        "kept connections ``http`` with ``http-keepalive``."
    )

    def start(self) -> None:
        self.fifo = self.ground.folder / "fifo"
        http = "--http-keepalive --http" if self.ground.scenario.kept else "--http-socket"
        options = (
            f"--master --lazy-apps --need-app --die-on-term --disable-logging --listen 1024 "
            f"--processes {WORKERS} --pythonpath {self.ground.current} --module shop:app "
            f"--master-fifo {self.fifo} {http} 127.0.0.1:{self.ground.port}"
        )
        self.ground.spawn(packages_venv(self.package) / "uwsgi", *options.split())

    def roll(self) -> None:
        self.fifo.write_text("c")


class Uvicorn(_Spawned):
    title = "uvicorn HUP"
    package = "uvicorn"
    note = (
        "HUP to ``uvicorn --workers``, with enough of ``--timeout-worker-healthcheck`` for a boot."
    )

    def start(self) -> None:
        options = (
            f"--workers {WORKERS} --app-dir {self.ground.current} --port {self.ground.port} "
            f"--timeout-worker-healthcheck 30 --no-access-log shop:asgi"
        )
        self.parent = self.ground.spawn(packages_venv(self.package) / "uvicorn", *options.split())

    def roll(self) -> None:
        self.parent.send_signal(signal.SIGHUP)


PEERS: tuple[type[Peer], ...] = (
    RollWorkers,
    RollArbiter,
    Hup,
    Usr2,
    Classic,
    Uwsgi,
    Uvicorn,
    Restart,
)
