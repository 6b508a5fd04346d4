"""A changed configuration comes into force with a new arbiter beside the old one, under load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import Program, Site, Summary, gunicorn_venv, supervisor_venv, wait_until

CHANGED = {"COLOUR": "green"}


def under_load(site: Site, act: Callable[[], None], **options: object) -> Summary:
    """What became of a load of 50 requests a second, before, while and after ``act`` runs."""
    with site.load("web", rate=50, **options) as load:
        wait_until(lambda: len(load.so_far().requests) > 25, 15, "requests go out")
        act()
        seen = len(load.so_far().requests)
        wait_until(lambda: len(load.so_far().requests) > seen + 50, 15, "requests go on")
        return load.stop()


def environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


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
    make_site: Callable[..., Site],
    supervisor: str | None,
    gunicorn: str | None,
    worker_class: str,
) -> None:
    program = Program(workers=2, boot_secs=0.6, worker_class=worker_class)
    if gunicorn:
        packages = ["gevent"] if worker_class == "gevent" else []
        program = replace(program, gunicorn=gunicorn_venv(gunicorn, *packages))
    options = {"supervisor": supervisor_venv(supervisor)} if supervisor else {}
    site = make_site(program, **options)
    old, before = site.pid("web"), site.workers("web")
    site.write(replace(program, environment=CHANGED))
    outputs: list[str] = []

    def roll() -> None:
        ran = site.ctl("rollrestart", "web")
        outputs.append(ran.output)
        assert ran.status == 0, ran.output

    summary = under_load(site, roll)
    assert not summary.failed, summary
    assert "its configuration has changed: environment" in outputs[0]
    new = site.pid("web")
    assert new != old
    after = site.wait_ready("web", 2)
    assert not after.children & before.children
    for pid in [new, *after.children]:
        assert "COLOUR=green" in environment(pid)
    assert site.rpc.supervisor.reloadConfig() == [[[], [], []]]
    assert [
        one["name"] for one in site.rpc.supervisor.getAllProcessInfo() if one["group"] == "web"
    ] == ["web"]
    assert site.state("web") == "RUNNING"
