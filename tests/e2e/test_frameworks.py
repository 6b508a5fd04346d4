"""Flask and Django applications are rolled under load, each worker's health check among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.harness import Program, Site, patience, wait_until

HOST = "shop.example"  # the only one that the Django application answers to


@pytest.mark.parametrize(
    ("app", "roll"),
    [
        ("flask_app:app", {"health": "/_status"}),
        ("django_app:app", {"health": "/_status", "health_host": HOST}),
    ],
)
def test_it_is_rolled_under_load(
    make_site: Callable[..., Site], app: str, roll: Mapping[str, str]
) -> None:
    site = make_site(Program(app=app, roll=roll))
    before = site.workers("web")
    site.add_release("v2")
    with site.load("web", host=HOST) as load:
        wait_until(lambda: load.answered_by("v1") > 25, 15, "the old release answers")
        site.deploy("v2")
        ran = site.ctl("rollrestart", "web")
        wait_until(lambda: load.answered_by("v2") > 25, 15, "the new release answers")
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert ran.output.count("health 200 OK") == 2
    assert not summary.failed, summary
    assert not site.wait_ready("web", 2).children & before.children


def test_django_asked_for_a_host_that_it_does_not_allow(make_site: Callable[..., Site]) -> None:
    site = make_site(Program(app="django_app:app", roll={"health": "/_status"}))
    before = site.workers("web")
    ran = site.ctl("rollrestart", f"--ready-timeout={patience():.1f}", "web")
    assert ran.status == 1, ran.output
    assert "400 Bad Request" in ran.output
    assert site.wait_ready("web", 2).children == before.children
