"""Every supported Gunicorn has what our hooks touch; what it lacks is named."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

import pytest
from gunicorn.workers.base import Worker

from tests.harness import gunicorn_venv
from tests.hooks.fake_listener import VERSIONS
from tests.protocols import lacking


@pytest.mark.processes
@pytest.mark.parametrize("version", VERSIONS)
def test_gunicorn_has_all_that_is_relied_on(version: str) -> None:
    python = gunicorn_venv(version).with_name("python")
    script = Path(__file__).with_name("relied_on.py")
    done = subprocess.run([python, script], text=True, timeout=60, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, "\n")


def test_what_is_lacking_is_named() -> None:
    class Wanted(Protocol):
        age: int
        alive: bool
        nosuch: int

        def notify(self, loudly: bool) -> None: ...

        def run(self) -> None: ...

        def rest(self) -> None: ...

    class Wider(Wanted, Protocol):
        more: int

    assert list(lacking(Wanted, Worker)) == [
        "Worker.nosuch is not there",
        "Worker.notify() takes nothing",
        "Worker.rest() is not there",
    ]
    assert "Worker.more is not there" in lacking(Wider, Worker)
