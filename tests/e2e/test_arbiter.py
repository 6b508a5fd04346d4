"""A changed configuration comes into force with a new arbiter beside the old one, under load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.harness import MakeSite, Program
from tests.harness.processes import environment


@pytest.mark.parametrize(
    ("supervisor", "gunicorn", "worker_class"),
    [
        (None, None, "sync"),
        ("4.2.5", None, "gthread"),
        (None, "20.1.0", "sync"),
        (None, "23.0.0", "gevent"),
    ],
)
def test_a_changed_environment_is_in_force_and_no_request_failed(
    make_site: MakeSite, supervisor: str | None, gunicorn: str | None, worker_class: str
) -> None:
    program = Program(workers=2, boot_secs=0.6, worker_class=worker_class, gunicorn=gunicorn)
    site = make_site(program, supervisor=supervisor)
    site.write(replace(program, environment={"COLOUR": "green"}))
    with site.unharmed(replaced=2, same_arbiter=False):
        assert "its configuration has changed: environment" in site.roll("web")
    for pid in [site.pid("web"), *site.workers("web").children]:
        assert "COLOUR=green" in environment(pid)
    site.assert_applied("web")
