"""Gunicorns for single tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hooks.fake_listener import Site
from tests.hooks.running_gunicorn import RunningGunicorn


@pytest.fixture
def make_gunicorn() -> Iterator[Callable[..., RunningGunicorn]]:
    """Make one; it is not started."""
    made: list[RunningGunicorn] = []

    def make(*arguments: Any, **named: Any) -> RunningGunicorn:
        made.append(RunningGunicorn(*arguments, **named))
        return made[-1]

    yield make
    for gunicorn in made:
        gunicorn.close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()
