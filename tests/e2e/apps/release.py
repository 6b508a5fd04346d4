"""What this release is and how it behaves, read from ``release.json`` beside this file.

Every application of the end-to-end tests imports it first, so that a release which
fails to boot fails while Gunicorn imports the application, as a real one would.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

# Resolved while booting: once the symlink points elsewhere, this release is still this one.
_FOLDER = Path(__file__).resolve().parent
_WRITTEN = json.loads((_FOLDER / "release.json").read_text())

NAME: str = _WRITTEN["release"]
HEALTH_STATUS: int = _WRITTEN["status"]


def answer() -> dict[str, object]:
    """What ``/`` says: which release answered, and which worker."""
    return {"release": NAME, "pid": os.getpid()}


def health_status() -> int:
    """The status that ``/_status`` answers with."""
    return HEALTH_STATUS


def doze(secs: str | None) -> None:
    """Take as long over a request as its ``secs`` asks, 60 at most."""
    time.sleep(min(float(secs or 0), 60.0))


def _boot() -> None:
    secs = _WRITTEN["boot_secs"]
    time.sleep(float(os.environ.get("BOOT_SECS", "0")) if secs is None else secs)
    match _WRITTEN["boot"]:
        case "ok":
            return
        case "raise":
            raise ImportError(f"release {NAME} lacks a module")
        case "exit":
            sys.exit(1)
        case "hang":
            while True:
                time.sleep(60)


_boot()
