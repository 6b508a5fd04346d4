"""Everything works where supervisord listens on a port and asks for a name and a password."""

from __future__ import annotations

from tests.harness import Inet, MakeSite, Program, free_port

WORKERS = 2


def test_all_commands_over_http_with_a_password(make_site: MakeSite) -> None:
    inet = Inet(free_port())
    site = make_site(Program(workers=WORKERS), inet=inet)
    before = site.workers("web")
    site.deploy("v2", boot="gate")
    server = ("-s", inet.url)
    login = (*server, "-u", inet.username, "-p", inet.password)

    assert site.ctl(*server, "-u", inet.username, "-p", "wrong", "rollrestart", "web").status != 0
    assert site.ctl(*login, "rollstatus", "web").output.startswith("web: never rolled")
    assert site.workers("web").children == before.children

    roll = site.ctl_start(*login, "rollrestart", "web")
    site.wait_booting("web", 1)
    assert "progressing" in site.ctl(*login, "rollstatus").output
    assert site.ctl(*login, "rollabort", "web").status == 0
    site.open_gate("v2")
    roll.ends(1, "aborted")

    site.ctl_start(*login, "rollrestart", "web").ends()
    assert "web: complete" in site.ctl(*login, "rollstatus", "web").output
    assert not site.wait_ready("web", WORKERS).children & before.children
