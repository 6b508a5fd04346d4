"""A site whose arbiter can be replaced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from supervisor_roll.listener import watching
from tests.fakes.arbiter_rollouts import BIND, UNIX
from tests.fakes.site import Site, ready_site
from tests.harness.descriptors import assert_none_left_open, open_descriptors


@pytest.fixture(autouse=True)
def _time_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """To measure a worker of the fakes takes no time, but a busy machine may."""
    monkeypatch.setattr(watching, "MEASURED_WITHIN_SECS", 60.0)


@pytest.fixture
def site() -> Iterator[Site]:
    """With an arbiter of two workers, which has handed its socket in. Nothing is left open."""
    before = open_descriptors()
    site, _ = ready_site(2, [BIND])
    yield site
    site.close()
    assert_none_left_open(before)


@pytest.fixture
def unix_site() -> Iterator[Site]:
    """With a Unix socket also."""
    before = open_descriptors()
    site, _ = ready_site(2, [BIND, UNIX])
    yield site
    site.close()
    assert_none_left_open(before)
