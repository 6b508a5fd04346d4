"""While fresh workers bake they are watched: errors above the outdated ones', or a repeated check
that fails, end the rollout with the outdated ones serving as before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import Program, Site, wait_until

WORKERS = 2


@pytest.mark.parametrize(
    ("worker_class", "app"),
    [("sync", "plain:app"), ("gthread", "plain:app"), ("asgi", "asgi_app:app")],
)
def test_a_release_that_answers_worse_is_found_out(
    make_site: Callable[..., Site], worker_class: str, app: str
) -> None:
    roll = {"min_ready_secs": "60"}
    site = make_site(Program(workers=WORKERS, worker_class=worker_class, app=app, roll=roll))
    site.add_release("v2", status=500)
    site.deploy("v2")
    before = site.workers("web")
    with site.load("web", path="/_status"):
        ran = site.ctl("rollrestart", "web")
    assert ran.status == 1, ran.output
    assert "FAILING: the fresh workers answer worse: " in ran.output
    assert site.wait_ready("web", WORKERS).children == before.children


def test_errors_that_the_outdated_ones_make_as_well_are_not_the_release(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(Program(workers=WORKERS, roll={"min_ready_secs": "4", "canary": "1"}))
    site.set_health("v1", 500)
    site.add_release("v2", status=500)
    site.deploy("v2")
    with site.load("web", path="/_status") as load:
        wait_until(lambda: load.so_far().requests, 10, "requests are answered")
        ran = site.ctl("rollrestart", "web")
    assert ran.status == 0, ran.output


def test_a_check_that_fails_later_ends_the_rollout(make_site: Callable[..., Site]) -> None:
    roll = {"health": "/_status", "min_ready_secs": "600"}
    site = make_site(Program(workers=WORKERS, roll=roll))
    site.add_release("v2")
    site.deploy("v2")
    before = site.workers("web")
    ran = site.ctl_start("rollrestart", "web")
    wait_until(
        lambda: len(site.workers("web").ready - before.children) == 1, 20, "a fresh one is ready"
    )
    site.set_health("v2", 503)
    status, output = ran.wait(60)
    assert status == 1, output
    assert "was ready, and then failed its health check: 503" in output
    assert site.wait_ready("web", WORKERS).children == before.children
