"""What cannot be rolled is refused, with words that say what to do, and nothing is touched."""

from __future__ import annotations

import psutil

from supervisor_roll.listener.edges.executed import Executed
from supervisor_roll.listener.rollouts.silence import FORKED_SECS
from tests.harness import MakeSite, Program, free_port, wait_until

_WRAPPED = (
    "sh -c '%(ENV_GUNICORN)s -c %(here)s/../web.conf.py -b unix:%(here)s/../run/web.sock"
    " plain:app; true'"
)


#: What each says, by the programs' names.
SAID = {
    "bare": "end its gunicorn.conf.py with:",
    "preloaded": "use --strategy arbiter",
    "reusing": "turn reuse_port off",
    "reloading": "turn reload off",
}


def test_gunicorns_that_cannot_be_rolled(make_site: MakeSite) -> None:
    site = make_site(
        Program("bare", hooks=False),
        Program("preloaded", conf="preload_app = True", roll={"strategy": "workers"}),
        Program("reusing", conf="reuse_port = True", port=free_port()),
        Program("reloading", conf="reload = True"),
    )
    youngest = max(site.workers("reloading").children)
    wait_until(lambda: Executed.of(youngest).age_secs > FORKED_SECS + 1, 30, "age")
    for name, said in SAID.items():
        with site.untouched(name):
            output = site.roll(name, "--ready-timeout=600", status=1)  # nothing is waited for
        assert f"{name}: refused, nothing was touched:" in output
        assert said in output
        # By that the hooks are told from none.
        assert Executed.of(site.pid(name)).shares_memory == (name != "bare")


def test_a_shell_around_gunicorn(make_site: MakeSite) -> None:
    command = _WRAPPED.replace("%(ENV_GUNICORN)s", str(Program().executable))
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
    assert "write exec before gunicorn" in site.roll("web", "--ready-timeout=600", status=1)
    assert {child.pid for child in shell.children(recursive=True)} == before


def test_what_is_no_gunicorn(make_site: MakeSite) -> None:
    site = make_site(start=False)
    site.write_conf("cat", "[program:cat]\ncommand=cat\nstartsecs=0\n")
    site.start()
    cat = site.pid("cat")
    output = site.roll("cat", status=1)
    assert "cat: refused, nothing was touched: it is no Gunicorn program" in output
    assert site.pid("cat") == cat


def test_what_does_not_run_or_does_not_exist(make_site: MakeSite) -> None:
    site = make_site(Program())
    assert site.ctl("stop", "web").status == 0
    ran = site.ctl("rollrestart", "web")
    assert ran.status == 7
    assert "not running" in ran.output
    assert site.state("web") == "STOPPED"
    ran = site.ctl("rollrestart", "webb")
    assert ran.status not in (0, 7)
    assert "webb: ERROR (no such process)" in ran.output


def test_a_bad_section_stops_only_its_own_program(make_site: MakeSite) -> None:
    site = make_site(Program("web", roll={"max_surge": "many"}), Program("api")).deploy("v2")
    with site.untouched():
        output = site.roll("web", status=1)
    for said in (f"{site.folder}/conf.d/web.conf", "[roll:web]", "max_surge=many"):
        assert said in output, output
    site.roll("api")
