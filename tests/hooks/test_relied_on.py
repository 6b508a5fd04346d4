"""Every supported Gunicorn has what our hooks touch."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness import gunicorn_venv
from tests.hooks.fake_listener import VERSIONS


@pytest.mark.processes
@pytest.mark.parametrize("version", VERSIONS)
def test_gunicorn_has_all_that_is_relied_on(version: str) -> None:
    python = gunicorn_venv(version).with_name("python")
    script = Path(__file__).with_name("relied_on.py")
    done = subprocess.run([python, script], text=True, timeout=60, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, "\n")
