"""Whether a program can be run as another user, for which one takes root and readable folders."""

from __future__ import annotations

import os
import pwd
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from tests.harness.venvs import CHECKOUT

#: With it any Python of this version has what the tests run with.
PYTHONPATH = f"{CHECKOUT}:{sysconfig.get_path('purelib')}"


def nobody_runs(python: str) -> bool:
    """Whether nobody can run this Python, with Gunicorn and our hooks, in our folders.

    The folder that they are all in is opened for that: ours alone, as `mktemp -d` makes it.
    """
    if os.getuid() != 0:
        return False
    base = Path(tempfile.gettempdir())
    base.chmod(base.stat().st_mode | 0o011)
    try:
        subprocess.run(
            [python, "-c", "import gunicorn, supervisor_roll, psutil"],
            cwd=base,
            user="nobody",
            group=pwd.getpwnam("nobody").pw_gid,
            extra_groups=(),
            env={"PYTHONPATH": PYTHONPATH},
            check=True,
            capture_output=True,
        )
    except (OSError, KeyError, subprocess.CalledProcessError):
        return False
    return True
