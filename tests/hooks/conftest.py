"""Gunicorns for single tests, and the listener's end alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from tests.harness.made import made
from tests.hooks.fake_listener import VERSIONS, Site
from tests.hooks.noting_site import NotingSite
from tests.hooks.raw_listener import RawListener


@pytest.fixture
def make_site() -> Iterator[Callable[..., NotingSite]]:
    """Make one; it is not started."""
    yield from made(NotingSite, NotingSite.close)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """The Gunicorn of a test that names no others by ``parametrize``."""
    return str(request.param)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the hooks look for the listener. Short, as a Unix socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="roll") as directory:
        path = Path(directory) / "s"
        monkeypatch.setenv(SOCKET_VARIABLE, str(path))
        yield path


@pytest.fixture
def listener(path: Path) -> Iterator[RawListener]:
    listener = RawListener(path)
    yield listener
    listener.close()
