"""What supervisord is told at its start, what its children inherit, and what a reload leaves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from xmlrpc.client import Fault

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json
from tests.rpc.supervised import DEAF_LISTENER, Supervised, wait_for


def test_children_inherit_where_to_speak_and_after_a_reload_all_begins_anew(
    make_site: Callable[..., Supervised],
) -> None:
    site = make_site(DEAF_LISTENER).start()
    environment = site.environment("myapp")
    assert environment["SUPERVISOR_ROLL_SOCKET"] == str(site.folder / "s_roll.sock")
    assert environment["SUPERVISOR_ROLL_PYTHON"] == sys.executable
    assert environment["SUPERVISOR_ROLL_CONFIG"] == str(site.config)
    with pytest.raises(Fault, match="FAILED: the listener has not connected yet"):
        site.request("myapp")
    site.exchange(hello=True, state={"myapp": {"run": "old"}})
    old = site.request("myapp").id

    conf = site.config.read_text()
    section = "[rpcinterface:roll]\n"
    site.config.write_text(conf.replace(section, f"{section}socket={site.folder}/other.sock\n"))
    before = site.info("myapp")["pid"]
    site.server.supervisor.restart()
    with pytest.raises(Fault, match="SHUTDOWN_STATE"):
        site.request("myapp")
    wait_for(
        lambda: (
            site.info("myapp")["pid"] not in (before, 0)
            and site.info("myapp")["statename"] == "RUNNING"
            and site.info("roll")["statename"] == "RUNNING"
        )
    )

    assert site.environment("myapp")["SUPERVISOR_ROLL_SOCKET"] == f"{site.folder}/other.sock"
    hello = site.exchange(hello=True)
    assert (hello.requests, hello.state, hello.jobs) == ([], {}, [])
    with pytest.raises(Fault) as caught:
        site.reports(old)
    assert caught.value.faultCode == Faults.BAD_NAME
    job = site.request("myapp").id
    assert job != old
    site.exchange(fetched=[job], done=[job], server=site.inet_server)
    assert site.reports(job).done


def test_without_an_event_listener_the_fault_says_what_to_include(
    make_site: Callable[..., Supervised],
) -> None:
    site = make_site("").start()
    with pytest.raises(Fault, match=r"FAILED: no listener: there is no \[eventlistener:roll\]"):
        site.request("myapp")
    overview = from_json(wire.Overview, site.server.roll.status())
    assert (overview.listener, overview.programs, overview.jobs) == (None, {}, [])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            f"socket=/tmp/{'x' * 103}",
            f"socket=/tmp/{'x' * 103}: must be an absolute path of at most 96 bytes",
        ),
        ("socket=roll.sock", "socket=roll.sock: must be an absolute path"),
        ("page=maybe", "page=maybe: must be true or false"),
        ("sokcet=/tmp/x", "sokcet=/tmp/x: unknown key; known are socket and history"),
    ],
)
def test_supervisord_does_not_start_with_a_bad_key_and_says_why(
    make_site: Callable[..., Supervised], line: str, says: str
) -> None:
    site = make_site("", rpcinterface=line)
    site.launch()
    assert site.process.wait(90) == 2
    assert f"Error: [rpcinterface:roll]: {says}" in site.output
