"""What users without rights get of supervisord over XML-RPC: really other users, on a real one."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - who is nobody could not read it any more
import grp
import json
import os
from collections.abc import Callable, Iterator
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import pytest
from supervisor.xmlrpc import Faults, SupervisorTransport

from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json
from tests.rpc.supervised import DEAF_LISTENER, Supervised

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
NOBODY, OTHERS = 65534, 65533
ROLLOUT = {"kind": "rollout", "names": ["myapp"], "by": "x"}


@pytest.fixture(scope="module")
def site() -> Iterator[Supervised]:
    """Its Unix socket is open to a group, and its port to everybody: it asks for no password."""
    try:
        group = grp.getgrgid(NOBODY).gr_name
    except KeyError:
        pytest.skip("no group has the id of nobody")
    site = Supervised(DEAF_LISTENER)
    site.folder.chmod(0o755)
    conf = site.config.read_text()
    conf = conf.replace("username=operator\npassword=secret\n", "")
    conf = conf.replace("s.sock\n[inet", f"s.sock\nchmod=0770\nchown=root:{group}\n[inet")
    conf = conf.replace(
        "[eventlistener:roll]\n",
        '[eventlistener:roll]\nenvironment=SUPERVISOR_USERNAME="u",SUPERVISOR_PASSWORD="p"\n',
    )
    conf += "[program:theirs]\ncommand=sleep 1000\nuser=nobody\nstartsecs=0\n"
    site.config.write_text(conf)
    try:
        site.start().exchange(hello=True)
        yield site
    finally:
        site.stop()


def as_user(groups: list[int], call: Callable[[], Any]) -> Any:
    """What ``call`` returns, as JSON has it, to nobody in these groups; or how it failed."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setgid(OTHERS)
            os.setuid(NOBODY)
            try:
                got = call()
            except Fault as fault:
                got = ["fault", fault.faultCode, fault.faultString]
            except OSError as error:
                got = ["error", type(error).__name__]
            os.write(writes, json.dumps(got).encode()[:60_000])
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def roll(url: str) -> Any:
    return ServerProxy("http://localhost", transport=SupervisorTransport(None, None, url)).roll


@pytest.fixture(params=["a member of the socket's group", "one at a port without password"])
def call(request: pytest.FixtureRequest, site: Supervised) -> Callable[..., Any]:
    """Call a method of ``roll`` as nobody."""
    member = request.param.startswith("a member")
    url = f"unix://{site.socket}" if member else f"http://127.0.0.1:{site.port}"

    def called(method: str, *arguments: object) -> Any:
        groups = [NOBODY] if member else []
        return as_user(groups, lambda: getattr(roll(url), method)(*arguments))

    return called


def test_a_stranger_does_not_reach_the_socket(site: Supervised) -> None:
    got = as_user([], lambda: roll(f"unix://{site.socket}").status())
    assert got == ["error", "PermissionError"]


def test_who_is_let_in_may_ask_for_rollouts_and_for_what_becomes_of_them(
    site: Supervised, call: Callable[..., Any]
) -> None:
    receipt = from_json(wire.Receipt, call("request", json.dumps(ROLLOUT)))
    assert receipt.programs == ["myapp"]
    assert [one.kind for one in site.exchange().requests] == [wire.ROLLOUT]
    assert from_json(wire.Overview, call("status")).jobs
    assert from_json(wire.Reports, call("reports", receipt.id, 0)).reports == []
    site.exchange(fetched=[receipt.id], done=[receipt.id])


@pytest.mark.parametrize("key", ["on_failure", "release", "watch", "health", "auto"])
def test_who_is_let_in_gets_no_command_run_and_no_path_read(
    site: Supervised, call: Callable[..., Any], key: str
) -> None:
    code, said = call("request", json.dumps({**ROLLOUT, "values": {key: "id"}}))[1:]
    assert code == Faults.BAD_ARGUMENTS
    assert f"{key}=: a request cannot set it" in said
    assert site.exchange().requests == []


def test_who_is_let_in_cannot_speak_as_the_listener_nor_read_what_it_keeps(
    site: Supervised, call: Callable[..., Any]
) -> None:
    hello = to_json(wire.Exchange(site.info("roll")["pid"], hello=True, whole=True))
    site.exchange(state={"myapp": {"run": "kept"}})
    for method, *arguments in (
        ["exchange", hello],
        ["reread"],
        *(
            [name, "myapp"]
            for name in (
                "program",
                "startSuccessor",
                "promoteSuccessor",
                "discardSuccessor",
                "adopt",
                "stopPreflight",
            )
        ),
    ):
        assert call(method, "0" * 32, *arguments)[:2] == ["fault", Faults.BAD_ARGUMENTS]
    assert site.exchange(hello=True).state == {"myapp": {"run": "kept"}}


def test_the_listeners_secrets_are_in_no_other_environment(site: Supervised) -> None:
    listener = site.environment("roll")
    secret = {"SUPERVISOR_ROLL_TOKEN", "SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD"}
    assert secret <= listener.keys()
    for name in ("myapp", "theirs", "web:one"):
        assert not secret & site.environment(name).keys()
        # What the commands of on_failure and release are given.
        spawned = json.loads(site.listener.program(name))["environment"]
        assert not secret & spawned.keys()


def test_another_user_reads_neither_the_listeners_environment_nor_a_programs(
    site: Supervised,
) -> None:
    def opened(name: str) -> Any:
        path = f"/proc/{site.info(name)['pid']}/environ"
        return as_user([NOBODY], lambda: open(path).read())  # noqa: PTH123

    assert opened("roll") == opened("myapp") == ["error", "PermissionError"]
