"""A supervisord with the scripted listener: ``site`` is one for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.harness.made import made
from tests.rpc.supervised import SCRIPTED_LISTENER, Supervised, wait_for


@pytest.fixture(scope="module")
def site() -> Iterator[Supervised]:
    supervised = Supervised(SCRIPTED_LISTENER)
    try:
        supervised.start()
        wait_for(supervised.listens)
        yield supervised
    finally:
        supervised.stop()


@pytest.fixture
def make_site() -> Iterator[Callable[..., Supervised]]:
    """Make one for a single test; it is not started."""
    yield from made(Supervised, Supervised.stop)
