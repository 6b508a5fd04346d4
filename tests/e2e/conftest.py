"""Fixtures of the end-to-end tests: sites that leave nothing behind but what explains a failure."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Program, Site
from harness.venvs import CACHE

_SITES = pytest.StashKey[list[Site]]()
_FAILED = pytest.StashKey[bool]()


def _sites(item: pytest.Item) -> list[Site]:
    return item.stash.setdefault(_SITES, [])


def _kept_at(item: pytest.Item, number: int) -> Path:
    name = re.sub(r"[^A-Za-z0-9_]+", "-", item.nodeid.removeprefix("tests/")).strip("-")
    return CACHE / "failed" / f"{name}-{number}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure where its sites are kept, and the ends of their logs."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
        for number, site in enumerate(_sites(item)):
            report.sections.append((f"site kept at {_kept_at(item, number)}", site.log_tails()))
    return report


@pytest.fixture
def make_site(request: pytest.FixtureRequest) -> Iterator[Callable[..., Site]]:
    """Make and start a site: ``make_site(Program(...), ..., start=True)``, with Site's options.

    It is stopped and removed after the test; kept, stopped, if the test fails.
    """
    sites = _sites(request.node)

    def make(*programs: Program, start: bool = True, **options: Any) -> Site:
        site = Site(*programs, **options)
        sites.append(site)
        return site.start() if start else site

    yield make
    failed = request.node.stash.get(_FAILED, False)
    for number, site in enumerate(sites):
        try:
            site.stop()
        except AssertionError:
            failed = True
            raise
        finally:
            if failed:
                site.keep(_kept_at(request.node, number))
            else:
                site.remove()
