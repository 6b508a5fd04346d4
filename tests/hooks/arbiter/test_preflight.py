"""A preflight that does not hear of ``--check-config`` never serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.program import PREFLIGHT_SOCKET

ROOT = Path(__file__).parents[3]
GOOD = "def app(environ, start_response):\n    return []\n"
EMBEDDED = """
import app
from gunicorn.app.base import BaseApplication
from supervisor_roll import hooks

class Embedded(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "unix:sock")
        self.cfg.set("on_starting", hooks.on_starting)
    def load(self):
        return app.app

Embedded().run()
"""


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "gunicorn", "-c", "python:supervisor_roll.hooks", "-b", "unix:sock", "app:app"],
        ["-m", "gunicorn", "-b", "unix:sock", "app:app"],
        ["-m", "gunicorn", "--preload", "-b", "unix:sock", "app:app"],
        ["embedded.py"],
    ],
)
@pytest.mark.parametrize(
    ("source", "status", "says"),
    [
        (GOOD, 0, ""),
        ("import nosuch", 1, "ModuleNotFoundError: No module named 'nosuch'"),
        ("import sys; sys.exit(3)", None, ""),
        (
            GOOD + "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(600,)).start()\n",
            0,
            "",
        ),
    ],
)
def test_it_loads_the_application_and_ends(
    tmp_path: Path, command: list[str], source: str, status: int | None, says: str
) -> None:
    (tmp_path / "app.py").write_text(source)
    (tmp_path / "embedded.py").write_text(EMBEDDED)
    (tmp_path / "gunicorn.conf.py").write_text(
        "def on_starting(server): open('started', 'w')\n"
        "from supervisor_roll.hooks import install; install(globals())\n"
    )
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), SOCKET_VARIABLE: PREFLIGHT_SOCKET},
    )
    assert (done.returncode == status) if status is not None else done.returncode
    assert says in done.stderr
    assert "Listening at" not in done.stderr
    assert not (tmp_path / "sock").exists() and not (tmp_path / "started").exists()
