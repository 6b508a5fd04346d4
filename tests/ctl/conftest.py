"""A supervisord with the scripted listener: ``site`` is one for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

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
    made: list[Supervised] = []

    def make(*arguments: Any, **named: Any) -> Supervised:
        made.append(Supervised(*arguments, **named))
        return made[-1]

    yield make
    for supervised in made:
        supervised.stop()
