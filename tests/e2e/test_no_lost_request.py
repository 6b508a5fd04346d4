"""While a program is rolled under load, no request fails, and in the end the new release answers
every one; the arbiter stays the same process."""

from __future__ import annotations

import time

import pytest

from tests.harness import MakeSite, Program, wait_until


@pytest.mark.parametrize(
    ("worker_class", "keep_alive", "version"),
    [("sync", False, None), ("gthread", True, None), ("sync", False, "20.1.0")],
)
def test_a_roll_under_load_loses_no_request(
    make_site: MakeSite, worker_class: str, keep_alive: bool, version: str | None
) -> None:
    program = Program(
        workers=3,
        worker_class=worker_class,
        boot_secs=0.4,
        conf="threads = 4" if worker_class == "gthread" else "",
        gunicorn=version,
    )
    site = make_site(program)
    site.add_release("v2")
    with site.unharmed(replaced=3, keep_alive=keep_alive) as (load, _, _):
        wait_until(lambda: load.answered_by("v1") > 25, 15, "the old release answers")
        site.deploy("v2")
        site.roll("web")
        ended = time.monotonic()
        wait_until(lambda: len(load.so_far().due_since(ended)) > 50, 15, "requests go on")
    assert load.so_far().answered.keys() == {"v1", "v2"}
    assert {request.release for request in load.so_far().due_since(ended)} == {"v2"}
