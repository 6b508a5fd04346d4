"""Debian's Chromium, headless, and what drives it."""

from __future__ import annotations

import os
import shutil
import subprocess

_PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def install_chromium() -> str:
    """Install what is missing, if we may; say why it cannot be had, if so."""
    missing = [package for command, package in _PACKAGES.items() if not shutil.which(command)]
    if not missing:
        return ""
    if os.geteuid() or not shutil.which("apt-get"):
        return f"needs Debian's packages {' and '.join(missing)}"
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(
            [*apt, *arguments], env=environment, text=True, stderr=subprocess.PIPE, timeout=600
        )
        if done.returncode:
            return f"apt-get {arguments[0]} failed: {done.stderr.strip()[-300:]}"
    return ""
