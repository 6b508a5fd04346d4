"""A supervisord whose [eventlistener:roll] is deaf and dumb: the tests speak for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from tests.harness import supervisor_venv
from tests.harness.made import made
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
    yield from made(Supervised, Supervised.stop)


@pytest.fixture(params=["running", "4.2.5"])
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter with the supervisor under test: the one that runs the tests, and another."""
    if request.param == "running":
        return sys.executable
    return str(supervisor_venv(request.param) / "python")


@pytest.fixture
def begin(python: str) -> Iterator[Callable[..., Succeeding]]:
    """Start a supervisord with these programs: ``begin(programs, listener="")``."""

    for make in made(Succeeding, Succeeding.stop):
        yield lambda programs, **options: make(programs, python, **options).start()  # noqa: B023
