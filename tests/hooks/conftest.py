"""Gunicorns for single tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.harness.made import made
from tests.hooks.fake_listener import Site
from tests.hooks.noting_site import NotingSite


@pytest.fixture
def make_site() -> Iterator[Callable[..., NotingSite]]:
    """Make one; it is not started."""
    yield from made(NotingSite, NotingSite.close)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()
