"""Fixtures of the end-to-end tests: sites that leave nothing behind."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.harness import MakeSite, Program, Site

_SITES = pytest.StashKey[list[Site]]()


def _sites(item: pytest.Item) -> list[Site]:
    return item.stash.setdefault(_SITES, [])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure the ends of its sites' logs."""
    report = yield
    if report.failed:
        for site in _sites(item):
            if site.folder.exists():
                report.sections.append((f"logs of {site.folder.name}", site.log_tails()))
    return report


@pytest.fixture
def make_site(request: pytest.FixtureRequest) -> Iterator[MakeSite]:
    """Make and start a site: ``make_site(Program(...), ..., start=True)``, with Site's options.

    It is stopped and removed after the test.
    """
    sites = _sites(request.node)

    def make(*programs: Program, start: bool = True, **options: Any) -> Site:
        site = Site(*programs, **options)
        sites.append(site)
        return site.start() if start else site

    yield make
    with ExitStack() as stack:
        for site in sites:
            stack.callback(site.stop)
    for site in sites:
        site.remove()
