"""supervisor still has the internals that our parts work on; what it lacks is named."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from supervisor_roll.rpc.supervisor_internals import RELIED_ON

SCRIPT = Path(__file__).with_name("relied_on.py")
CONFIGURATION = """
[supervisord]
childlogdir={folder}
logfile={folder}/log
[program:plain]
command=true
stdout_syslog=true
stderr_logfile_maxbytes=0
[fcgi-program:fast]
command=true
socket=unix://{folder}/fcgi.sock
[eventlistener:ear]
command=true
events=TICK_5
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    # A Unix socket's path has at most 107 bytes.
    link = Path(f"{os.environ.get('TMPDIR', '/tmp')}/{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path)
    path = tmp_path / "s.conf"
    path.write_text(CONFIGURATION.format(folder=link))
    return path


def lacking(python: str, *arguments: object) -> list[str]:
    done = subprocess.run(
        [python, SCRIPT, *map(str, arguments)],
        text=True,
        timeout=60,
        check=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout.split("\n")[:-1]


def test_supervisor_has_all_that_is_relied_on(python: str, configuration: Path) -> None:
    assert lacking(python, configuration) == [""]


def test_what_is_lacking_is_named(python: str, configuration: Path) -> None:
    relied_on = {
        "process.Subprocess": {"spawn": ["self", "quickly"], "nosuch": None, "pid": None},
        "process.Nosuch": {},
        "options": {"decode_wait_status": ["sts"], "nothing": None},
        "loggers.FileHandler": {"unopen": ["self"]},
    }
    assert lacking(python, configuration, json.dumps(relied_on)) == [
        "supervisor.process.Subprocess.spawn takes self",
        "supervisor.process.Subprocess.nosuch is not there",
        "supervisor.process.Nosuch is not there",
        "supervisor.options.nothing is not there",
        "supervisor.loggers.FileHandler.unopen is not there",
    ]


def test_something_is_relied_on() -> None:
    assert sum(map(len, RELIED_ON.values())) > 40
