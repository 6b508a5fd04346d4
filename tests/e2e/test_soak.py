"""scripts/soak: a rollout of each strategy is made, and what it finds is told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "_soak"


def test_two_rollouts_are_soaked_and_judged() -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, "--rollouts", "2", "--rate", "10"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert re.search(r"^2 rollouts of 1 programs in ", ran.stdout), ran.stdout + ran.stderr
    assert re.search(r"^requests: \d+, 0 failed", ran.stdout, re.MULTILINE)
    assert "not complete" not in ran.stdout
    for who in ("listener", "supervisord", "arbiter"):
        assert len(re.findall(rf"^{who} +[012] +\d", ran.stdout, re.MULTILINE)) == 3
    # How busy the machine is decides which bounds are kept.
    assert ran.returncode == ("BROKEN: " in ran.stdout)
