"""A successor starts beside the program, takes its place, and nothing of before is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.wire.successor import NEEDS_ARBITER, SUCCESSOR_VARIABLE, Succession
from tests.rpc.succeeding import (
    PLAIN,
    RECORDER,
    UNCHANGED,
    Succeeding,
    as_root,
    environ,
    fault,
    gone,
    umask,
    wait_executed,
)
from tests.rpc.supervised import wait_for

Begin = Callable[..., Succeeding]
MYAPP = f"[program:myapp]\n{PLAIN}\n"
SPEAKS = "command=/bin/sh -c 'echo here is $$; exec sleep 1000'\nstartsecs=0\n"


def writes_to(pid: int) -> str:
    """Where supervisord has put the process's first line."""
    folders = Path(f"/proc/{psutil.Process(pid).ppid()}/cwd").resolve()
    found = [one.name for one in folders.glob("*.out") if f"here is {pid}\n" in one.read_text()]
    return " ".join(found)


SEEN: dict[str, tuple[str, str, Callable[[int], object], object]] = {
    # key: the section, what is changed of it, what is seen of a process, what it is to be.
    "environment": (
        MYAPP,
        'environment=COLOUR="gr%%n"',
        lambda pid: environ(pid).get("COLOUR"),
        "gr%n",
    ),
    "command": (
        MYAPP,
        "command=sleep 2000",
        lambda pid: psutil.Process(pid).cmdline(),
        ["sleep", "2000"],
    ),
    "directory": (MYAPP, "directory=/usr", lambda pid: psutil.Process(pid).cwd(), "/usr"),
    "umask": (MYAPP, "umask=027", umask, "0027"),
    "stdout_logfile": (
        f"[program:myapp]\n{SPEAKS}stdout_logfile={{folder}}/old.out\n",
        "stdout_logfile={folder}/new.out",
        writes_to,
        "new.out",
    ),
}
if as_root():
    SEEN["user"] = (MYAPP, "user=nobody", lambda pid: psutil.Process(pid).username(), "nobody")


def changed(programs: str, line: str) -> str:
    """The section with a line in the place of the one of the same key, or added."""
    key = line.split("=", 1)[0]
    kept = [one for one in programs.splitlines() if not one.startswith(f"{key}=")]
    return "\n".join([*kept, line, ""])


@pytest.mark.parametrize("key", SEEN)
def test_what_has_changed_is_in_the_successor_and_stays(begin: Begin, key: str) -> None:
    programs, line, see, wanted = SEEN[key]
    site = begin(programs)
    old = site.pid()
    before = wait_for(lambda: see(old) or "nothing")
    assert before != wanted
    found = site.change(changed(programs, line))
    assert [(one.namespec, one.keys) for one in found.changes] == [("myapp", {key: NEEDS_ARBITER})]

    succession = site.succeed()
    new = succession.successor
    assert (succession.pid, succession.retiring, succession.ended) == (old, 0, "")
    wait_for(lambda: see(new) == wanted)
    assert site.info("myapp:myapp.successor")["pid"] == new
    assert environ(new)["SUPERVISOR_PROCESS_NAME"] == "myapp"
    assert environ(new)[SUCCESSOR_VARIABLE] == environ(new)["GUNICORN_PID"] == str(old)
    assert (site.pid(), see(old)) == (old, before if before != "nothing" else see(old))

    site.promote()
    wait_for(lambda: gone(old))
    site.wait_names("myapp")
    assert site.processes() == {"myapp": (new, "RUNNING")}
    assert site.succession() == Succession(new, "RUNNING")
    assert site.reload_config() == UNCHANGED
    assert site.reread().changes == []

    assert site.ctl("restart", "myapp")[0] == 0
    wait_for(lambda: see(site.pid()) == wanted)
    assert SUCCESSOR_VARIABLE not in environ(site.pid())
    assert "GUNICORN_PID" not in environ(site.pid())


def test_all_that_supervisord_tells_is_of_the_new_one(begin: Begin) -> None:
    """Status, tail, signal and stop, and the events of supervisord."""
    programs = f"[program:myapp]\n{SPEAKS}stdout_logfile={{folder}}/my.out\n"
    site = begin(programs, listener=RECORDER)
    old = site.pid()
    wait_executed(old)
    # supervisord names a process in an event as it is called when that is handed out.
    wait_for(lambda: any(f"pid:{old}" in one for one in site.events))
    site.change(changed(programs, "environment=A=1"))
    new = site.succeed().successor
    wait_executed(new)
    wait_for(lambda: any(f"pid:{new}" in one for one in site.events))
    site.promote()
    site.wait_names("myapp")
    wait_for(lambda: f"here is {new}" in site.log("my.out"))
    assert f"pid {new}" in site.ctl("status", "myapp")[1]
    assert site.ctl("tail", "myapp")[1].rstrip() == f"here is {old}\nhere is {new}"
    assert site.ctl("pid", "myapp")[1] == f"{new}\n"
    assert site.ctl("stop", "myapp")[1] == "myapp: stopped\n"
    wait_for(lambda: gone(new))
    assert site.processes() == {"myapp": (0, "STOPPED")}
    wait_for(
        lambda: any(
            "processname:myapp " in one and f"pid:{new}" in one and "STATE_STOPPED" in one
            for one in site.events
        )
    )
    told = [
        " ".join(
            [
                line.split()[0].removeprefix("PROCESS_STATE_"),
                line.split()[1].removeprefix("processname:"),
            ]
        )
        for line in site.events
        if "groupname:myapp" in line
    ]
    assert told == [
        "STARTING myapp",
        "RUNNING myapp",
        "STARTING myapp.successor",
        "RUNNING myapp.successor",
        "STOPPING myapp.retiring",
        "STOPPED myapp.retiring",
        "STOPPING myapp",
        "STOPPED myapp",
    ]


def test_a_promoted_program_is_started_again_as_any(begin: Begin) -> None:
    site = begin(MYAPP + "autorestart=true\n")
    site.change(MYAPP + "autorestart=true\nenvironment=A=1\n")
    new = site.replace().pid
    psutil.Process(new).kill()
    wait_for(lambda: site.processes()["myapp"][0] not in (0, new))
    wait_for(lambda: site.processes()["myapp"][1] == "RUNNING")
    assert environ(site.pid())["A"] == "1"


@pytest.mark.parametrize(
    "stops",
    [
        "stopsignal=INT",
        "stopsignal=QUIT\nstopasgroup=true",
        "stopsignal=KILL\nstopasgroup=true\nkillasgroup=true",
        "stopwaitsecs=0",
    ],
)
def test_the_old_process_retires_by_term_alone_and_is_never_started_again(
    begin: Begin, stops: str
) -> None:
    """However it would be stopped, and although it takes longer than it would get then."""
    old_settings = (
        'command=/bin/sh -c \'trap "" INT QUIT; trap "echo retires" URG;'
        ' trap "told=1" TERM; echo on; while [ -z $told ]; do sleep 0.1; done; sleep 1.5;'
        " echo told'"
        f"\nstartsecs=0\n{stops}\nautorestart=true\nstdout_logfile={{folder}}/my.out\n"
    )
    site = begin(f"[program:myapp]\n{old_settings}")
    old = site.pid()
    site.change(f"[program:myapp]\n{PLAIN}\n{stops}\nstdout_logfile={{folder}}/my.out\n")
    wait_for(lambda: site.log("my.out") == "on\n")
    site.succeed()
    site.promote()
    wait_for(lambda: gone(old))
    site.wait_names("myapp")
    assert site.log("my.out") == "on\nretires\ntold\n"


def test_how_long_the_old_process_may_take_is_a_number_of_seconds(begin: Begin) -> None:
    site = begin(MYAPP)
    site.succeed()
    for secs in (0, -1, True, 1e12, "60"):
        code, text = fault(lambda secs=secs: site.promote(drain_secs=secs))
        assert (code, "more than 0" in text) == (Faults.BAD_ARGUMENTS, True)
    assert site.promote(drain_secs=0.5).successor == 0


def test_while_both_run_each_has_a_name_of_its_own(begin: Begin) -> None:
    stubborn = (
        "command=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'\nstartsecs=0\n"
        "stopwaitsecs=600\n"
    )
    site = begin(f"[program:myapp]\n{stubborn}")
    old = site.pid()
    wait_for(lambda: "sleep" in [one.name() for one in psutil.Process(old).children()])
    site.change(MYAPP)
    new = site.succeed().successor
    assert {name: pid for name, (pid, _) in site.processes().items()} == {
        "myapp": old,
        "myapp.successor": new,
    }
    found = site.promote()
    assert (found.pid, found.successor, found.retiring) == (new, 0, old)
    assert site.processes()["myapp.retiring"] == (old, "STOPPING")
    assert site.pid() == new
    assert fault(site.succeed) == (
        Faults.FAILED,
        (f"FAILED: myapp: myapp.retiring is still there (STOPPING, pid {old})"),
    )
    assert site.server.supervisor.signalProcess("myapp:myapp.retiring", "KILL")
    site.wait_names("myapp")
    assert site.succeed().successor


def test_whoever_asks_twice_gets_what_is(begin: Begin) -> None:
    site = begin(MYAPP)
    first = site.succeed("myapp:myapp")
    assert site.succeed().successor == first.successor
    assert site.succession("myapp:myapp").successor == first.successor
    promoted = site.promote("myapp:myapp")
    assert promoted.pid == first.successor
    site.wait_names("myapp")
    for name in ("myapp", "myapp:myapp"):
        assert site.promote(name) == Succession(promoted.pid, "RUNNING")
        assert site.discard(name) == Succession(promoted.pid, "RUNNING")
    assert site.processes() == {"myapp": (promoted.pid, "RUNNING")}


def test_round_after_round(begin: Begin) -> None:
    site = begin(MYAPP)
    seen = [site.pid()]
    for number in range(3):
        site.change(MYAPP + f"environment=ROUND={number}\n")
        seen.append(site.replace().pid)
        assert environ(seen[-1])["ROUND"] == str(number)
        assert site.reload_config() == UNCHANGED
    assert len(set(seen)) == len(seen)


def test_without_a_change_the_successor_is_of_the_configuration_in_force(begin: Begin) -> None:
    """Also if supervisord has never reread its files."""
    site = begin(MYAPP + "environment=A=1\n")
    assert environ(site.succeed().successor)["A"] == "1"
    site.promote()
    site.wait_names("myapp")
    assert site.reload_config() == UNCHANGED


@pytest.fixture(scope="module")
def named() -> Iterator[Succeeding]:
    """One with a successor, and a listener."""
    site = Succeeding(MYAPP, sys.executable, RECORDER)
    try:
        site.start().succeed()
        yield site
    finally:
        site.stop()


@pytest.mark.parametrize(
    "method", ["startSuccessor", "promoteSuccessor", "discardSuccessor", "getSuccession", "adopt"]
)
@pytest.mark.parametrize(
    "name",
    [
        "nosuch",
        "my\x7fapp",
        "myapp:*",
        "myapp:nosuch",
        "roll",
        "",
        ["myapp"],
        3,
        {"a": "b"},
        "myapp:myapp.successor",
        "myapp:myapp.retiring",
    ],
)
def test_a_name_that_means_no_program_is_a_fault(
    named: Succeeding, method: str, name: object
) -> None:
    code, text = fault(getattr(named.listener, method), name)
    assert (code, text.split(":")[0]) == (Faults.BAD_NAME, "BAD_NAME")
    assert sorted(named.processes()) == ["myapp", "myapp.successor"]


def test_what_is_not_there_cannot_be_promoted_or_succeeded(begin: Begin) -> None:
    site = begin(f"{MYAPP}[program:idle]\n{PLAIN}\nautostart=false\n")
    assert fault(site.promote) == (Faults.FAILED, "FAILED: myapp: it has no successor")
    assert fault(site.succeed, "idle") == (Faults.NOT_RUNNING, "NOT_RUNNING: idle: it is STOPPED")
    assert site.discard("idle") == Succession(0, "STOPPED")
    assert sorted(site.processes()) == ["idle:idle", "myapp"]
