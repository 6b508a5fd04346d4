"""supervisor still has the internals that our parts work on; what it lacks is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("relied_on.py")
CONFIGURATION = """
[supervisord]
childlogdir={folder}
logfile={folder}/log
[unix_http_server]
file={folder}/http.sock
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


def test_supervisor_has_all_that_is_relied_on(python: str, configuration: Path) -> None:
    done = subprocess.run(
        [python, SCRIPT, configuration], text=True, timeout=60, stdout=subprocess.PIPE
    )
    assert (done.returncode, done.stdout) == (0, "\n")
