"""What cannot be rolled is refused, with words that say what to do, and nothing is touched."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from supervisor_roll.listener.edges.executed import Executed
from supervisor_roll.listener.rollouts.silence import FORKED_SECS
from tests.harness import Program, Site, free_port, wait_until

_WRAPPED = (
    "sh -c '%(ENV_GUNICORN)s -c %(here)s/../web.conf.py -b unix:%(here)s/../run/web.sock"
    " plain:app; true'"
)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param(Program(hooks=False), "end its gunicorn.conf.py with:", id="without hooks"),
        pytest.param(
            Program(conf="preload_app = True", roll={"strategy": "workers"}),
            "use --strategy arbiter",
            id="preload_app",
        ),
        pytest.param(
            Program(conf="reuse_port = True", port=free_port()),
            "turn reuse_port off",
            id="reuse_port",
        ),
        pytest.param(Program(conf="reload = True"), "turn reload off", id="reload"),
    ],
)
def test_a_gunicorn_that_cannot_be_rolled(
    make_site: Callable[..., Site], program: Program, said: str
) -> None:
    site = make_site(program)
    before, arbiter = site.workers("web"), site.pid("web")
    wait_until(lambda: Executed.of(min(before.children)).age_secs > FORKED_SECS + 1, 30, "age")
    ran = site.ctl("rollrestart", "--ready-timeout=600", "web")  # nothing is waited for
    assert ran.status == 1, ran.output
    assert "web: refused, nothing was touched:" in ran.output
    assert said in ran.output
    # By that the hooks are told from none.
    assert Executed.of(arbiter).shares_memory == program.hooks
    assert site.workers("web").children == before.children
    assert site.pid("web") == arbiter


def test_a_shell_around_gunicorn(make_site: Callable[..., Site]) -> None:
    command = _WRAPPED.replace("%(ENV_GUNICORN)s", str(Program().gunicorn))
    site = make_site(
        Program(section={"command": command, "stopasgroup": "true", "killasgroup": "true"}),
        start=False,
    )
    site.start_supervisord()
    site.wait_listener()
    site.start_programs()
    site.wait_state("web", "RUNNING")
    shell = psutil.Process(site.pid("web"))
    wait_until(lambda: len(shell.children(recursive=True)) == 3, 15, "arbiter and workers run")
    before = {child.pid for child in shell.children(recursive=True)}
    ran = site.ctl("rollrestart", "--ready-timeout=600", "web")
    assert ran.status == 1, ran.output
    assert "write exec before gunicorn" in ran.output
    assert {child.pid for child in shell.children(recursive=True)} == before


def test_what_is_no_gunicorn(make_site: Callable[..., Site]) -> None:
    site = make_site(start=False)
    site.write_conf("cat", "[program:cat]\ncommand=cat\nstartsecs=0\n")
    site.start()
    cat = site.pid("cat")
    ran = site.ctl("rollrestart", "cat")
    assert ran.status == 1, ran.output
    assert "cat: refused, nothing was touched: it is no Gunicorn program" in ran.output
    assert site.pid("cat") == cat


def test_what_does_not_run_or_does_not_exist(make_site: Callable[..., Site]) -> None:
    site = make_site(Program())
    assert site.ctl("stop", "web").status == 0
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 7
    assert "not running" in ran.output
    assert site.state("web") == "STOPPED"
    ran = site.ctl("rollrestart", "webb")
    assert ran.status not in (0, 7)
    assert "webb: ERROR (no such process)" in ran.output


def test_a_bad_section_stops_only_its_own_program(make_site: Callable[..., Site]) -> None:
    site = make_site(Program("web", roll={"max_surge": "many"}), Program("api"))
    before = site.workers("web")
    site.add_release("v2")
    site.deploy("v2")
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 1, ran.output
    for said in (
        f"{site.folder}/conf.d/web.conf",
        "[roll:web]",
        "max_surge=many",
        "must be a count such as 1, or a percentage such as 25%",
    ):
        assert said in ran.output, ran.output
    assert site.workers("web").children == before.children
    ran = site.ctl("rollrestart", "api")
    assert ran.status == 0, ran.output
