"""supervisord was given a relative path to its configuration, and as a daemon it has changed its
directory: its own reread finds no file then, and a rollout must not be refused for that."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xmlrpc.client import ServerProxy

import psutil
import pytest
from supervisor.options import ServerOptions
from supervisor.xmlrpc import SupervisorTransport

from supervisor_roll.rpc.reread import reread
from tests.rpc.supervised import DEAF_LISTENER, AsListener, environment, wait_for

_CONFIGURATION = """\
[supervisord]
directory=%(here)s/elsewhere
pidfile=%(here)s/pid
logfile=%(here)s/log
[unix_http_server]
file=%(here)s/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[rpcinterface:roll]
supervisor.rpcinterface_factory = supervisor_roll.rpc:make_rpcinterface
[program:myapp]
command=sleep 1000
[eventlistener:roll]
events=TICK_60
command={listener}
""".replace("{listener}", DEAF_LISTENER)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Unix sockets want short paths.
    folder = Path(tempfile.mkdtemp(prefix="roll-"))
    yield folder
    pidfile = folder / "pid"
    if pidfile.exists():
        daemon = psutil.Process(int(pidfile.read_text()))
        os.kill(daemon.pid, signal.SIGTERM)
        daemon.wait(90)
    shutil.rmtree(folder)


@pytest.mark.processes
def test_the_files_are_found_all_the_same(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    file = folder / "s.conf"
    file.write_text(_CONFIGURATION)
    subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", "s.conf"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    proxy = ServerProxy(
        "http://localhost", SupervisorTransport(None, None, f"unix://{folder}/sock")
    )
    wait_for(lambda: proxy.roll.status())
    file.write_text(_CONFIGURATION.replace("1000", "2000"))
    roll: Any = proxy.supervisor.getProcessInfo("roll")
    # Before it has executed its command it shows supervisord's own environment.
    token = wait_for(lambda: environment(roll["pid"]).get("SUPERVISOR_ROLL_TOKEN"))
    listener = AsListener(proxy, token)
    changes = json.loads(listener.reread())["changes"]
    assert [(one["namespec"], one["keys"]) for one in changes] == [
        ("myapp", {"command": "arbiter"})
    ]


def test_what_reading_leaves_behind_is_collected_at_once(tmp_path: Path) -> None:
    file = tmp_path / "s.conf"
    programs = [f"[program:p{number}]\ncommand=sleep 1\n" for number in range(50)]
    file.write_text("[supervisord]\n" + "".join(programs))
    options = ServerOptions()
    options.configfile = str(file)
    supervisord: Any = SimpleNamespace(options=options)
    reread(supervisord, str(file))
    gc.collect()
    assert len(reread(supervisord, str(file))) == 50
    assert gc.collect() < 50
    assert gc.isenabled()
