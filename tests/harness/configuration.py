"""What a site writes into its configuration files: supervisord's, and each program's."""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.connections import Address
from tests.harness.venvs import gunicorn_venv

_MAIN = """\
[supervisord]
nodaemon=true
nocleanup=true
pidfile={folder}/run/supervisord.pid
logfile={folder}/logs/supervisord.log
childlogdir={folder}/logs

{http_server}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
{serverurl}{ctlplugin}
[include]
files = conf.d/*.conf
"""

_CTLPLUGIN = """
[ctlplugin:roll]
supervisor.ctl_factory = supervisor_roll.ctl:make_plugin
"""

_UNIX = """\
[unix_http_server]
file={folder}/run/supervisor.sock
"""

_INET = """\
[inet_http_server]
port=127.0.0.1:{inet.port}
username={inet.username}
password={inet.password}
"""

_HOOKS = "from supervisor_roll.hooks import install; install(globals())\n"


@dataclass(frozen=True)
class Inet:
    """A loopback port where supervisord listens, and whom it lets in."""

    port: int
    username: str = "ops"
    password: str = "secret"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def section(self) -> str:
        """The text of its section."""
        return _INET.format(inet=self)


@dataclass(frozen=True)
class Program:
    """What a site writes into its configuration for one program.

    ``app`` is one of those in tests/e2e/apps. ``conf`` is text for ``gunicorn.conf.py``,
    ``roll`` the keys of ``[roll:NAME]`` (no section if it is None), ``section`` more keys
    of ``[program:NAME]``. It listens on a Unix socket, or on loopback ``port``, or on all of
    ``binds``, where the file name of a Unix socket is enough: it is in the site's folder for
    them. Its command line says so, or with ``conf_binds`` its configuration file; with ``fcgi``
    it is an ``[fcgi-program:NAME]``, and supervisord itself listens there for it.
    With ``numprocs`` there are processes ``NAME:NAME_00``, ``NAME:NAME_01`` and so on, on
    sockets of their own. A boot takes ``boot_secs``, unless the release itself says else.
    ``gunicorn`` is a path or a version; without it, it is the one that the tests run with.
    """

    name: str = "web"
    app: str = "plain:app"
    workers: int = 2
    worker_class: str = "sync"
    boot_secs: float = 0.0
    port: int | None = None
    binds: tuple[Address, ...] = ()
    conf_binds: bool = False
    fcgi: bool = False
    numprocs: int = 1
    conf: str = ""
    hooks: bool = True
    gunicorn: Path | str | None = None
    roll: Mapping[str, str] | None = None
    section: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.numprocs > 1 and (self.port is not None or self.binds):
            raise ValueError("several processes cannot have one port: leave port out")

    @property
    def executable(self) -> Path:
        """The ``gunicorn`` that it runs."""
        if isinstance(self.gunicorn, str):
            return gunicorn_venv(self.gunicorn)
        return self.gunicorn or Path(sys.executable).parent / "gunicorn"

    @property
    def processes(self) -> list[str]:
        """The namespecs of its processes."""
        if self.numprocs == 1:
            return [self.name]
        return [f"{self.name}:{self.name}_{n:02d}" for n in range(self.numprocs)]

    def addresses(self, run_folder: Path, namespec: str) -> list[Address]:
        """Where the process ``namespec`` listens."""
        unix = f"{namespec.rpartition(':')[2]}.sock"
        binds = self.binds or (unix if self.port is None else self.port,)
        return [str(run_folder / one) if isinstance(one, str) else one for one in binds]

    def gunicorn_conf(self, folder: Path) -> str:
        """The text of its ``gunicorn.conf.py``; ``folder`` is the site's."""
        lines = [
            f"workers = {self.workers}",
            f"worker_class = {self.worker_class!r}",
            # It leads to the release to serve.
            f"chdir = {str(folder / 'current')!r}",
            self.conf,
        ]
        if self.conf_binds:
            binds = [_bind(one) for one in self.addresses(folder / "run", self.name)]
            lines.append(f"bind = {binds!r}")
        if self.hooks:
            lines.append(_HOOKS)
        return "\n".join(lines)

    def supervisor_conf(self, folder: Path) -> str:
        """The text of its sections; ``folder`` is the site's."""
        several = self.numprocs > 1
        process_name = "%(program_name)s_%(process_num)02d" if several else "%(program_name)s"
        binds = [_bind(one) for one in self.addresses(folder / "run", process_name)]
        said = ["fd://0"] if self.fcgi else [] if self.conf_binds else binds
        options = "".join(f" -b {one}" for one in said)
        keys = {
            "command": f"{self.executable} -c {folder}/{self.name}.conf.py{options} {self.app}",
            "process_name": process_name,
            "numprocs": str(self.numprocs),
            "stdout_logfile": f"{folder}/logs/{process_name}.log",
            "redirect_stderr": "true",
            # Once our listener is there: Site.start_programs says why.
            "autostart": "false",
            "startsecs": "1",
            "stopwaitsecs": "40",
            "environment": ",".join(
                f"{key}={json.dumps(value)}"
                for key, value in {"BOOT_SECS": str(self.boot_secs), **self.environment}.items()
            ),
            **self.section,
        }
        if self.fcgi:
            unix = binds[0].startswith("unix:")
            keys["socket"] = binds[0].replace("unix:", "unix://") if unix else f"tcp://{binds[0]}"
        text = _section(f"{'fcgi-' if self.fcgi else ''}program:{self.name}", keys)
        if self.roll is not None:
            text += _section(f"roll:{self.name}", self.roll)
        return text


def main_conf(folder: Path, roll: bool, inet: Inet | None = None) -> str:
    """The text of ``supervisord.conf`` for a site in ``folder``.

    With ``inet`` supervisord listens there and nowhere else, and supervisorctl is not told.
    """
    return _MAIN.format(
        folder=folder,
        http_server=inet.section if inet else _UNIX.format(folder=folder),
        serverurl="" if inet else f"serverurl=unix://{folder}/run/supervisor.sock\n",
        ctlplugin=_CTLPLUGIN if roll else "",
    )


def _bind(address: Address) -> str:
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = ("127.0.0.1", address) if isinstance(address, int) else address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _section(name: str, keys: Mapping[str, str]) -> str:
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in keys.items()), "", ""])


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on, out of the range of clients' ports."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        port = random.randint(20000, 32000)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as candidate:
            try:
                candidate.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")
