"""Programs of Debian's own that tests need, installed on first use where we may."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
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
    """Install what is missing, if we may; say why it cannot be had, if so.

    What failed once is not tried again before the next start of all tests.
    """
    with (CACHE / "apt.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [one for one, command in commands.items() if not shutil.which(command)]
        if not missing:
            return ""
        if os.geteuid() or not shutil.which("apt-get"):
            return f"needs Debian's packages {' and '.join(missing)}"
        lock.seek(0)
        if failed := lock.read():
            return failed
        with _no_service_starts():
            for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
                if said := _apt_get(*arguments):
                    failed = f"apt-get {arguments[0]} failed: {said[-300:]}"
                    lock.write(failed)
                    return failed
    return ""


def _apt_get(*arguments: str) -> str:
    """What it says if it fails; empty if it does not."""
    with tempfile.TemporaryFile("w+") as said:  # a pipe may stay open in what it leaves behind
        try:
            status = subprocess.run(
                ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                timeout=600,
            ).returncode
        except subprocess.TimeoutExpired:
            return "it was not done after 600 s"
        said.seek(0)
        return said.read().strip() or f"status {status}" if status else ""


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


if __name__ == "__main__":  # all of them, before the first test: an overlay wants a still ground
    (CACHE / "apt.lock").unlink(missing_ok=True)
    if why := install({**CHROMIUM, **BALANCERS}):
        print(why)
