"""Flask and Django applications are rolled under load, each worker's health check among them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.harness import MakeSite, Program, patience

HOST = "shop.example"  # the only one that the Django application answers to


@pytest.mark.parametrize(
    ("app", "roll"),
    [
        ("flask_app:app", {"health": "/_status"}),
        ("django_app:app", {"health": "/_status", "health_host": HOST}),
    ],
)
def test_it_is_rolled_under_load(make_site: MakeSite, app: str, roll: Mapping[str, str]) -> None:
    site = make_site(Program(app=app, roll=roll))
    site.add_release("v2")
    with site.unharmed(replaced=2, host=HOST) as (load, _, _):
        site.deploy("v2")
        output = site.roll("web")
    assert output.count("health 200 OK") == 2
    assert load.so_far().answered.keys() == {"v1", "v2"}


def test_django_asked_for_a_host_that_it_does_not_allow(make_site: MakeSite) -> None:
    site = make_site(Program(app="django_app:app", roll={"health": "/_status"}))
    with site.unharmed(replaced=0, host=HOST):
        output = site.roll("web", f"--ready-timeout={patience():.1f}", status=1)
    assert "400 Bad Request" in output
