"""Gunicorns for single tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.harness.made import made
from tests.hooks.fake_listener import VERSIONS, Site
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


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """The Gunicorn of a test that names no others by ``parametrize``."""
    return str(request.param)
