"""What a rollout promises, asserted while a program serves under load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.harness.load import Load
from tests.harness.observe import Observer, Sample
from tests.harness.site import Site


class Meanwhile(NamedTuple):
    """What looks on: the load, who counts the workers, and the workers that there were before."""

    load: Load
    seen: Observer
    before: Sample


@contextmanager
def unharmed(
    site: Site,
    namespec: str = "web",
    *,
    least_ready: int | None = None,
    replaced: int | None = None,
    same_arbiter: bool = True,
    **load: Any,
) -> Iterator[Meanwhile]:
    """Load on a process while the body runs, and in the end the promise: no request has failed,
    never fewer than ``least_ready`` workers were ready (by default as many as there were), and
    as many are there as before, ``replaced`` of them fresh (None: whatever number), of the
    same arbiter, or else of another."""
    arbiter, before = site.pid(namespec), site.workers(namespec)
    observe = site.observe if same_arbiter else site.observe_all
    with site.load(namespec, **load) as going, observe(namespec) as seen:
        yield Meanwhile(going, seen, before)
        summary = going.stop()
    assert not summary.failed, summary
    assert seen.min_ready >= (len(before.ready) if least_ready is None else least_ready)
    after = site.wait_ready(namespec, len(before.children))
    if replaced is not None:
        assert len(after.children - before.children) == replaced
    assert (site.pid(namespec) == arbiter) is same_arbiter
