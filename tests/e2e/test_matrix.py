"""scripts/matrix: what it tries of each combination holds with the versions of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "_matrix"


def _run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_with_these_versions_the_trial_holds() -> None:
    ran = _run(SCRIPT / "trial.py")
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def test_the_combinations_are_listed_and_an_unknown_one_is_an_error() -> None:
    ran = _run(SCRIPT, "--list", "--only", "Gunicorn 23", "--only", "supervisor 4.2.5")
    assert ran.stdout.splitlines() == [
        f"Python 3.{minor}, Gunicorn 23.0.0, supervisor 4.2.5" for minor in (10, 11, 12, 13)
    ]
    ran = _run(SCRIPT, "--only", "Gunicorn 19")
    assert ran.returncode == 2
    assert "see --list" in ran.stderr
