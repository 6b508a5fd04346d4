"""Where something that rollrestart needs is missing, late, or goes away meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from tests.ctl.script import BEGAN, COMPLETE_OUTPUT, complete
from tests.rpc.supervised import LATE_LISTENER, SCRIPTED_LISTENER, Supervised, wait_for


def test_a_listener_that_comes_late_is_waited_for_and_a_reload_ends_the_waiting(
    make_site: Callable[..., Supervised],
) -> None:
    site = make_site(LATE_LISTENER).start()
    site.script(*complete("myapp"), ["done"])
    roll = site.ctl_start("rollrestart", "myapp")
    roll.wait_says("waiting for the listener")
    site.allow("late")
    roll.ends()
    assert roll.output == (
        "waiting for the listener to start ...\n" + COMPLETE_OUTPUT.format("myapp")
    )

    site.script(["report", "myapp", "began", BEGAN], ["until", "never"])
    roll = site.ctl_start("rollrestart", "myapp")
    roll.wait_says("rolling 2 workers")
    before = site.info("myapp")["pid"]
    assert site.ctl("reload")[0] == 0
    roll.ends(1)
    assert "supervisord no longer knows this rollout" in roll.output
    wait_for(
        lambda: (
            site.info("myapp")["pid"] not in (before, 0)
            and site.info("myapp")["statename"] == "RUNNING"
            and site.listens()
        )
    )
    site.script(*complete("myapp"), ["done"])
    assert site.ctl("rollrestart", "myapp") == (0, COMPLETE_OUTPUT.format("myapp"))


def test_a_listener_that_dies_meanwhile_is_started_again_and_goes_on(
    make_site: Callable[..., Supervised],
) -> None:
    site = make_site(SCRIPTED_LISTENER).start()
    wait_for(site.listens)
    before = site.info("roll")["pid"]
    site.script(["exit"])
    first = site.ctl_start("rollrestart", "--no-wait", "myapp")
    first.ends()
    wait_for(lambda: site.info("roll")["pid"] not in (0, before))
    site.script(*complete("myapp"), ["done"])
    wait_for(site.listens)
    assert site.ctl("rollrestart", "myapp") == (0, COMPLETE_OUTPUT.format("myapp"))


def test_without_the_rpc_interface_or_supervisord_it_says_so(
    make_site: Callable[..., Supervised],
) -> None:
    site = make_site("", roll=False)
    for command in ("rollrestart", "rollabort"):
        status, output = site.ctl(command, "myapp")
        assert (status, "no such file" in output) == (7, True)
    url = ["-s", f"http://127.0.0.1:{site.port}"]
    status, output = site.ctl(*url, "rollrestart", "myapp")
    assert (status, "refused connection" in output) == (4, True)
    status, output = site.ctl("rollstatus")
    assert (status, "no such file" in output) == (4, True)
    site.start()
    for command in ("rollrestart", "rollstatus", "rollabort"):
        status, output = site.ctl(command, "myapp")
        assert (status, "[rpcinterface:roll]" in output) == (3, True)


def test_without_a_listener_it_says_what_to_include(make_site: Callable[..., Supervised]) -> None:
    site = make_site("").start()
    for command in ("rollrestart", "rollabort"):
        assert site.ctl(command, "myapp") == (
            1,
            (
                "error: no listener: there is no [eventlistener:roll]; include conf.d/roll.conf,"
                " then `supervisorctl update`\n"
            ),
        )
    assert site.ctl("rollstatus") == (
        0,
        (
            "no program has been rolled since supervisord's start\n"
            "the listener has not connected yet: no rollout is possible\n"
        ),
    )
