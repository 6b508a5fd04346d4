"""While a program is rolled under load, no request fails, and in the end the new release answers
every one; the arbiter stays the same process."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.harness import Program, Site, gunicorn_venv, wait_until


@pytest.mark.parametrize(
    ("worker_class", "keep_alive", "version"),
    [
        ("sync", False, None),
        ("gthread", True, None),
        ("sync", False, "20.1.0"),
        ("sync", False, "23.0.0"),
    ],
)
def test_a_roll_under_load_loses_no_request(
    make_site: Callable[..., Site], worker_class: str, keep_alive: bool, version: str | None
) -> None:
    program = Program(
        workers=3,
        worker_class=worker_class,
        boot_secs=0.4,
        conf="threads = 4" if worker_class == "gthread" else "",
        **({"gunicorn": gunicorn_venv(version)} if version else {}),
    )
    site = make_site(program)
    site.add_release("v2")
    arbiter, before = site.pid("web"), site.workers("web")
    with site.load("web", rate=50, keep_alive=keep_alive) as load:
        wait_until(lambda: load.answered_by("v1") > 25, 15, "the old release answers")
        site.deploy("v2")
        ran = site.ctl("rollrestart", "web")
        ended = time.monotonic()
        wait_until(lambda: len(load.so_far().due_since(ended)) > 50, 15, "requests go on")
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert "complete: 3 workers replaced" in ran.output
    assert not summary.failed, summary
    assert summary.answered.keys() == {"v1", "v2"}
    assert {request.release for request in summary.due_since(ended)} == {"v2"}
    after = site.wait_ready("web", 3)
    assert not after.children & before.children
    assert site.pid("web") == arbiter
