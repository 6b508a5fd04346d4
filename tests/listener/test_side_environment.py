"""What runs beside the rollouts has the program's environment, and nothing of the listener's."""

from __future__ import annotations

import os
import selectors
import time

import pytest

from supervisor_roll.listener.preflight import Preflight, Result
from supervisor_roll.listener.sides import Sides
from supervisor_roll.wire.program import Program

SECRETS = ("SUPERVISOR_ROLL_TOKEN", "SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD")
PROGRAM = Program(
    "env", "/usr/bin/env", ["env"], "/", {"PATH": os.environ["PATH"], "OWN": "1"}, os.getuid(), 0o22
)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "of the listener")


def ended(sides: Sides) -> Result:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for _, result in sides.poll():
            return result
        time.sleep(0.02)
    raise AssertionError("it did not end")


def check(output: str) -> None:
    assert "OWN=1" in output
    assert "of the listener" not in output
    assert not [name for name in SECRETS if name in output]


def test_a_command_of_on_failure_or_release() -> None:
    with selectors.DefaultSelector() as selector:
        sides = Sides(selector)
        sides.command("myapp", "env", PROGRAM, "why", 20)
        check(ended(sides).output)


def test_a_preflight() -> None:
    preflight = Preflight.start(PROGRAM, timeout_secs=20)
    deadline = time.monotonic() + 30
    while (result := preflight.poll()) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    preflight.close()
    assert result is not None
    check(result.output)
