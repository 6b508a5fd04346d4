"""The token: our listener has it and nobody else, and what is the listener's alone wants it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import TOKEN_VARIABLE, Delivery, Exchange
from tests.rpc.succeeding import Succeeding, fault, gone
from tests.rpc.supervised import DEAF_LISTENER, AsListener, Supervised, environment, wait_for

PROGRAMS = f"""
[program:myapp]
command=sleep 1000
startsecs=0
[eventlistener:ear]
command=sleep 1000
events=TICK_5
startsecs=0
[eventlistener:alike]
command=/bin/sh -c 'exec sleep 1000' supervisor_roll.listener -m supervisor_roll.listeners
events=TICK_5
startsecs=0
[program:mimic]
command={DEAF_LISTENER}
startsecs=0
"""
OURS = f"[eventlistener:second]\ncommand={DEAF_LISTENER}\nevents=TICK_5\nstartsecs=0\n"
# All that wants the token, with arguments that are good but for that.
ALONE = {
    "exchange": [to_json(Exchange(1, hello=True))],
    "reread": [],
    "getProcesses": [],
    "program": ["myapp"],
    **{
        name: ["myapp"]
        for name in (
            "startSuccessor",
            "promoteSuccessor",
            "discardSuccessor",
            "getSuccession",
            "adopt",
        )
    },
    "resize": ["myapp"],
    "startPreflight": ["myapp", 5.0],
    **{name: ["myapp"] for name in ("stopPreflight", "getPreflight")},
}


def tokens(site: Supervised) -> dict[str, str | None]:
    """Of each process that runs, by its name."""
    infos = site.server.supervisor.getAllProcessInfo()
    return {one["name"]: environment(one["pid"]).get(TOKEN_VARIABLE) for one in infos}


def settled(site: Supervised, *ours: str) -> str:
    """The token, once all run and those that are ours have it; nobody else has."""

    def all_run() -> bool:
        infos = site.server.supervisor.getAllProcessInfo()
        return all(one["statename"] == "RUNNING" and environment(one["pid"]) for one in infos)

    wait_for(all_run)
    found = tokens(site)
    assert {name for name, token in found.items() if token is not None} == set(ours)
    [token] = {found[name] for name in ours}
    assert token and len(token) >= 32
    return token


def test_only_our_listeners_have_it_however_they_are_started(
    begin: Callable[..., Succeeding],
) -> None:
    os.environ[TOKEN_VARIABLE] = "a supervisord may itself be what an event listener started"
    try:
        site = begin(PROGRAMS)
    finally:
        del os.environ[TOKEN_VARIABLE]
    token = settled(site, "roll")
    assert site.reload_config() == [[[], [], []]], "no configuration was changed for it"

    site.server.supervisor.stopProcess("roll")
    site.server.supervisor.startProcess("roll")
    assert settled(site, "roll") == token

    site.write(PROGRAMS + OURS)
    assert site.reload_config() == [[["second"], [], []]]
    site.server.supervisor.addProcessGroup("second")
    assert settled(site, "roll", "second") == token
    assert site.listener.getSuccession("myapp")

    successor = site.succeed().successor
    wait_for(lambda: environment(successor))
    assert TOKEN_VARIABLE not in environment(successor)
    assert TOKEN_VARIABLE not in site.listener.program("myapp")
    site.discard()
    wait_for(lambda: gone(successor))

    before = site.pid()
    site.server.supervisor.restart()
    wait_for(lambda: site.pid() not in (0, before))
    new = settled(site, "roll", "second")
    assert new != token
    assert fault(site.server.roll.reread, token)[0] == Faults.BAD_ARGUMENTS
    assert AsListener(site.inet_server, new).getSuccession("myapp")


@pytest.mark.parametrize("method", sorted(ALONE))
def test_without_it_nothing_of_the_listeners_can_be_asked(site: Supervised, method: str) -> None:
    call = getattr(site.server.roll, method)
    before = site.info("myapp"), site.exchange(hello=True)
    for wrong in ("", "0" * 32, site.token[:-1], site.token + "0", "\u20ac", 5, True, [], {}):
        code, text = fault(call, wrong, *ALONE[method])
        assert code == Faults.BAD_ARGUMENTS
        assert text.startswith("BAD_ARGUMENTS: the token is not this supervisord's: only an [event")
        assert site.token not in text
    assert fault(call, *ALONE[method])[0] in (Faults.BAD_ARGUMENTS, Faults.INCORRECT_PARAMETERS)
    after = site.info("myapp"), site.exchange(hello=True)
    assert [one["pid"] for one in (before[0], after[0])] == [before[0]["pid"]] * 2
    assert before[1] == after[1]


def test_all_that_is_not_for_everybody_is_tried_here(site: Supervised) -> None:
    methods = {
        name.removeprefix("roll.")
        for name in site.server.system.listMethods()
        if name.startswith("roll.")
    }
    assert methods == {*ALONE, "request", "reports", "status", "workers"}


def test_a_process_that_is_no_listener_of_ours_cannot_speak_as_one(site: Supervised) -> None:
    for pid in (site.info("myapp")["pid"], os.getpid(), 1):
        code, text = fault(site.listener.exchange, to_json(Exchange(pid, hello=True)))
        assert code == Faults.FAILED
        assert f"process {pid} claims to be the listener but was not started" in text
        assert "must exec it" in text
    assert site.exchange(hello=True) == Delivery()
