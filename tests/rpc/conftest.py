"""A supervisord whose [eventlistener:roll] is deaf and dumb: the tests speak for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import supervisor_venv
from tests.rpc.succeeding import Succeeding
from tests.rpc.supervised import DEAF_LISTENER, Supervised


@pytest.fixture(scope="module")
def site() -> Iterator[Supervised]:
    """One for all tests of a module. Its listener has spoken."""
    supervised = Supervised(DEAF_LISTENER)
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


@pytest.fixture(params=["running", "4.2.5"])
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter with the supervisor under test: the one that runs the tests, and another."""
    if request.param == "running":
        return sys.executable
    return str(supervisor_venv(request.param) / "python")


@pytest.fixture
def begin(python: str) -> Iterator[Callable[..., Succeeding]]:
    """Start a supervisord with these programs: ``begin(programs, listener="")``."""
    made: list[Succeeding] = []

    def make(programs: str, **options: Any) -> Succeeding:
        made.append(Succeeding(programs, python, **options))
        return made[-1].start()

    yield make
    for site in made:
        site.stop()
