"""A readiness socket in a folder of its own."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket

UID = os.geteuid()


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="roll") as directory:
        yield Path(directory) / "s"


@pytest.fixture
def readiness(path: Path) -> Iterator[ReadinessSocket]:
    readiness = ReadinessSocket(str(path))
    yield readiness
    readiness.close()


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """The folder of the control groups."""
    return tmp_path / "cgroup"


def send(path: Path, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.sendto(data, f"{path}/{UID}")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
