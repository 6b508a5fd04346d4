"""A program of two workers, which was never rolled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.site import Site, ready_site


@pytest.fixture
def site() -> Iterator[Site]:
    site, _ = ready_site(2)
    site.pass_time(10)
    yield site
    site.close()
