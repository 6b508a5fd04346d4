"""A supervisord whose [eventlistener:roll] is deaf and dumb: the tests speak for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from supervised import Supervised


@pytest.fixture(scope="module")
def site() -> Iterator[Supervised]:
    """One for all tests of a module. Its listener has spoken."""
    supervised = Supervised("sleep 1000")
    try:
        supervised.start().exchange(hello=True)
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
