"""Gunicorns for single tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.harness.made import made
from tests.hooks.fake_listener import Site
from tests.hooks.running_gunicorn import RunningGunicorn


@pytest.fixture
def make_gunicorn() -> Iterator[Callable[..., RunningGunicorn]]:
    """Make one; it is not started."""
    yield from made(RunningGunicorn, RunningGunicorn.close)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()
