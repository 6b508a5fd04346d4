"""While fresh workers bake they are watched: errors above the outdated ones', or a repeated check
that fails, end the rollout with the outdated ones serving as before."""

from __future__ import annotations

import pytest

from tests.harness import MakeSite, Program, steady, wait_until

WORKERS = 2


@pytest.mark.parametrize(
    ("worker_class", "app"),
    [("sync", "plain:app"), ("gthread", "plain:app"), ("asgi", "asgi_app:app")],
)
def test_a_release_that_answers_worse_is_found_out(
    make_site: MakeSite, worker_class: str, app: str
) -> None:
    roll = {"min_ready_secs": "60"}
    site = make_site(Program(workers=WORKERS, worker_class=worker_class, app=app, roll=roll))
    site.deploy("v2", status=500)
    before = site.workers("web")
    with site.load("web", path="/_status"):
        output = site.roll("web", status=1)
    assert "FAILING: the fresh workers answer worse: " in output
    assert site.wait_ready("web", WORKERS).children == before.children


def test_errors_that_the_outdated_ones_make_as_well_are_not_the_release(
    make_site: MakeSite,
) -> None:
    site = make_site(Program(workers=WORKERS, roll={"min_ready_secs": "4", "canary": "1"}))
    site.set_health("v1", 500)
    site.deploy("v2", status=500)
    with steady(site.load("web", path="/_status")):
        site.roll("web")


def test_a_check_that_fails_later_ends_the_rollout(make_site: MakeSite) -> None:
    settings = {"health": "/_status", "min_ready_secs": "600"}
    site = make_site(Program(workers=WORKERS, roll=settings)).deploy("v2")
    before = site.workers("web")
    roll = site.ctl_start("rollrestart", "web")
    wait_until(
        lambda: len(site.workers("web").ready - before.children) == 1, 20, "a fresh one is ready"
    )
    site.set_health("v2", 503)
    roll.ends(1, "was ready, and then failed its health check: 503")
    assert site.wait_ready("web", WORKERS).children == before.children
