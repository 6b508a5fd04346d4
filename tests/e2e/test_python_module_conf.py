"""A program without a configuration file is rolled: `gunicorn -c python:supervisor_roll.hooks`."""

from __future__ import annotations

from tests.harness import MakeSite, Program


def test_the_hooks_themselves_as_the_configuration(make_site: MakeSite) -> None:
    command = (
        f"{Program().executable} -c python:supervisor_roll.hooks --workers 2"
        " --chdir %(here)s/../current --bind unix:%(here)s/../run/web.sock plain:app"
    )
    site = make_site(Program(workers=2, section={"command": command}))
    site.add_release("v2")
    with site.unharmed(replaced=2) as (load, _, _):
        site.deploy("v2")
        site.roll("web")
    assert load.so_far().answered.keys() == {"v1", "v2"}
