"""What this release is and how it behaves, read from ``release.json`` beside this file.

Every application of the end-to-end tests imports it first, so that a release which
fails to boot fails while Gunicorn imports the application, as a real one would.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

# Resolved while booting: once the symlink points elsewhere, this release is still this one.
_FOLDER = Path(__file__).resolve().parent
_WRITTEN = json.loads((_FOLDER / "release.json").read_text())

NAME: str = _WRITTEN["release"]


def answer() -> dict[str, object]:
    """What ``/`` says: which release answered, and which worker."""
    return {"release": NAME, "pid": os.getpid()}


def health_status() -> int:
    """The status that ``/_status`` answers with: what ``status`` beside this file has in it now."""
    status = int((_FOLDER / "status").read_text())
    print(f"release {NAME} answers its health check with {status}", file=sys.stderr, flush=True)
    return status


def doze(secs: str | None) -> None:
    """Take as long over a request as its ``secs`` asks, 60 at most, or until ``wake``."""
    print(f"release {NAME} takes {secs} s over a request", file=sys.stderr, flush=True)
    until = time.monotonic() + min(float(secs or 0), 60.0)
    while (left := until - time.monotonic()) > 0 and not (_FOLDER / "gate" / "wake").exists():
        time.sleep(min(left, 0.05))


def _boot() -> None:
    secs = _WRITTEN["boot_secs"]
    time.sleep(float(os.environ.get("BOOT_SECS", "0")) if secs is None else secs)
    match _WRITTEN["boot"]:
        case "ok":
            return
        case "gate":
            print(f"release {NAME} waits at its gate", file=sys.stderr, flush=True)
            _wait_at(_FOLDER / "gate")
        case "compute":
            until = time.process_time() + 0.5
            while time.process_time() < until:
                pass
        case "hang":
            print(f"release {NAME} hangs while it boots", file=sys.stderr, flush=True)
            while True:
                time.sleep(60)
        case "once" if not (_FOLDER / "booted").exists():
            (_FOLDER / "booted").touch()
        case "once":
            raise ImportError("this release boots only once")
        case "raise":
            raise ImportError(f"release {NAME} lacks a module")
        case "syntax":
            (_FOLDER / "views.py").write_text("def index(:\n")
            __import__("views")
        case "exit 0" | "exit 1" | "exit 3" as how:
            sys.exit(int(how[-1]))
        case "_exit 3":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case how:
            raise ValueError(f"release {NAME} is to boot by an unknown {how!r}")


def _wait_at(gate: Path) -> None:
    """Until there is ``open`` in ``gate``, or a ticket that no other process took first."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (gate / "open").exists():
        for ticket in gate.glob("ticket-*"):
            try:
                ticket.unlink()
            except FileNotFoundError:
                continue
            return
        time.sleep(0.02)


_boot()
