"""Programs of Debian's own that tests need, installed on first use where we may."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.venvs import CACHE

#: By their packages.
CHROMIUM = {"chromium": "chromium", "chromium-driver": "chromedriver"}
BALANCERS = {"haproxy": "haproxy", "nginx-light": "nginx"}

#: What says that no service is started by an installation (Debian Policy 9.3.3, invoke-rc.d(8)).
_POLICY = Path("/usr/sbin/policy-rc.d")


def install(commands: dict[str, str]) -> str:
    """Install what is missing, if we may; say why it cannot be had, if so."""
    with (CACHE / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [one for one, command in commands.items() if not shutil.which(command)]
        if not missing:
            return ""
        if os.geteuid() or not shutil.which("apt-get"):
            return f"needs Debian's packages {' and '.join(missing)}"
        with _no_service_starts():
            for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
                done = subprocess.run(
                    ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments],
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=600,
                )
                if done.returncode:
                    return f"apt-get {arguments[0]} failed: {done.stderr.strip()[-300:]}"
    return ""


@contextmanager
def _no_service_starts() -> Iterator[None]:
    if _POLICY.exists():  # somebody has decided it already
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    try:
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink()
