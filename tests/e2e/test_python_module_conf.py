"""A program without a configuration file is rolled: `gunicorn -c python:supervisor_roll.hooks`."""

from __future__ import annotations

from collections.abc import Callable

from tests.harness import Program, Site, wait_until


def test_the_hooks_themselves_as_the_configuration(make_site: Callable[..., Site]) -> None:
    command = (
        f"{Program().gunicorn} -c python:supervisor_roll.hooks --workers 2"
        " --chdir %(here)s/../current --bind unix:%(here)s/../run/web.sock plain:app"
    )
    site = make_site(Program(workers=2, section={"command": command}))
    arbiter, before = site.pid("web"), site.workers("web")
    site.add_release("v2")
    with site.load("web") as load:
        wait_until(lambda: load.answered_by("v1") > 25, 15, "the old release answers")
        site.deploy("v2")
        ran = site.ctl("rollrestart", "web")
        wait_until(lambda: load.answered_by("v2") > 25, 15, "the new release answers")
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert not summary.failed, summary
    assert not site.wait_ready("web", 2).children & before.children
    assert site.pid("web") == arbiter
