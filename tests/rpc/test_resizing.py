"""roll.resize: a group has more or fewer processes than before, and those that stay serve on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.wire.successor import NEEDS_ARBITER, NEEDS_UPDATE, Reread, Resize
from tests.rpc.succeeding import PLAIN, UNCHANGED, Succeeding, environ, fault, gone, group, keys
from tests.rpc.supervised import wait_for

Begin = Callable[..., Succeeding]
MYAPP = f"[program:myapp]\n{PLAIN}\n"
POOL = "[eventlistener:pool]\ncommand=sleep 1000\nevents=TICK_5\nstartsecs=0\n"
WEB = f"[program:web]\n{PLAIN}\nprocess_name=w%(process_num)d\nnumprocs={{numprocs}}\n"


def test_more_processes_are_started_and_dropped_ones_stopped(begin: Begin) -> None:
    site = begin(WEB.format(numprocs=2))
    before = site.processes()
    found = site.change(WEB.format(numprocs=11) + "stdout_logfile_backups=3\n")
    added = [f"web:w{number}" for number in (10, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert found.resized == [Resize("web", added)]
    assert keys(found) == {
        name: {"stdout_logfile_backups": NEEDS_ARBITER} for name in ("web:w0", "web:w1")
    }
    site.listener.resize("web")
    wait_for(lambda: {state for _, state in site.processes().values()} == {"RUNNING"})
    assert len(site.processes()) == 11
    assert site.reread() == Reread(found.changes)
    assert {name: site.processes()[name] for name in before} == before
    assert all(site.info(name)["stdout_logfile"] for name in added)
    for name in ("web:w0", "web:w1"):
        assert site.reload_config() == [[[], ["web"], []]]
        site.replace(name)
    assert site.reload_config() == UNCHANGED

    pids = [site.pid(name) for name in added]
    found = site.change(WEB.format(numprocs=2) + "stdout_logfile_backups=3\n")
    assert found == Reread(resized=[Resize("web", dropped=added)])
    site.listener.resize("web")
    assert site.reread() == Reread()
    assert site.reload_config() == UNCHANGED
    site.wait_names("web:w0", "web:w1")
    assert all(map(gone, pids))


def test_numprocs_of_a_group_are_succeeded_one_by_one(begin: Begin) -> None:
    site = begin(WEB.format(numprocs=3))
    site.change(WEB.format(numprocs=3) + "environment=A=%(process_num)d\n")
    for number in range(3):
        assert site.reload_config() == [[[], ["web"], []]]
        new = site.replace(f"web:w{number}").pid
        assert environ(new)["A"] == str(number)
        assert environ(new)["SUPERVISOR_PROCESS_NAME"] == f"w{number}"
        assert environ(new)["SUPERVISOR_GROUP_NAME"] == "web"
    assert site.reload_config() == UNCHANGED
    site.wait_names("web:w0", "web:w1", "web:w2")


def test_programs_are_added_to_a_group_and_dropped_from_it(begin: Begin) -> None:
    site = begin(group("one,two"))
    one = site.pid("web:one")
    site.change(group("three,one"))
    site.listener.resize("web")
    site.wait_names("web:one", "web:three")
    wait_for(lambda: site.info("web:three")["statename"] == "RUNNING")
    assert site.pid("web:one") == one
    assert site.reload_config() == UNCHANGED


def test_a_dropped_process_has_time_to_stop_and_takes_its_successor_along(begin: Begin) -> None:
    stubborn = WEB.replace(
        "command=sleep 1000",
        (
            "command=/bin/sh -c 'trap \"\" TERM; echo on; while :; do sleep 0.1; done'\n"
            "stopwaitsecs=600\nstdout_logfile={{folder}}/out%(process_num)d"
        ),
    )
    site = begin(stubborn.format(numprocs=2))
    wait_for(lambda: site.log("out1"))
    old = site.pid("web:w1")
    successor = site.succeed("web:w1").successor
    wait_for(lambda: site.log("out1").count("on") == 2)
    site.change(stubborn.format(numprocs=1))
    site.listener.resize("web")
    assert site.processes()["web:w1"] == (old, "STOPPING")
    assert site.reread() == Reread()
    assert fault(site.succeed, "web:w1")[0] == Faults.BAD_NAME
    site.server.supervisor.signalProcess("web:w1.successor", "KILL")
    wait_for(lambda: gone(successor))
    found = site.change(stubborn.format(numprocs=2))
    assert found.resized == [Resize("web", ["web:w1"])]
    assert fault(site.listener.resize, "web") == (
        Faults.FAILED,
        f"FAILED: web: w1 is still there (STOPPING, pid {old})",
    )
    assert site.reread() == found
    site.server.supervisor.signalProcess("web:w1", "KILL")
    site.wait_names("web:w0")
    site.listener.resize("web")
    site.wait_names("web:w0", "web:w1")


def test_a_dropped_process_that_does_not_run_is_gone_at_once(begin: Begin) -> None:
    site = begin(WEB.format(numprocs=2))
    site.server.supervisor.stopProcess("web:w1")
    site.change(WEB.format(numprocs=1))
    site.listener.resize("web")
    assert list(site.processes()) == ["web:w0"]


def test_where_every_name_changes_only_an_update_helps(begin: Begin) -> None:
    site = begin(MYAPP)
    section = WEB.replace("program:web", "program:myapp").format(numprocs=2)
    (found,) = site.change(section).resized
    assert (found.added, found.dropped) == (["myapp:w0", "myapp:w1"], ["myapp"])
    assert "supervisorctl update myapp" in found.refused
    code, text = fault(site.listener.resize, "myapp")
    assert (code, found.refused in text) == (Faults.FAILED, True)
    assert list(site.processes()) == ["myapp"]


@pytest.mark.parametrize(
    "kind",
    [
        "[fcgi-program:web]\nsocket=unix://{folder}/web.sock\n",
        "[eventlistener:web]\nevents=TICK_60\n",
    ],
)
def test_what_is_of_another_kind_now_is_refused(begin: Begin, kind: str) -> None:
    """supervisord itself would end, with a process of another kind than its group's."""
    site = begin(WEB.format(numprocs=2))
    before = site.processes()
    found = site.change(WEB.format(numprocs=3).replace("[program:web]\n", kind))
    assert [one.keys["socket"] for one in found.changes] == [NEEDS_UPDATE] * 2
    assert "of another kind now" in found.changes[0].why
    assert found.resized == [Resize("web", ["web:w2"], refused=found.changes[0].why)]
    for method, name in (("resize", "web"), ("startSuccessor", "web:w0")):
        code, text = fault(getattr(site.listener, method), name)
        assert (code, "only supervisorctl update web" in text) == (Faults.FAILED, True)
    assert site.processes() == before


@pytest.mark.parametrize("name", ["nosuch", "pool", "myapp:*", "", ["myapp"], 7])
def test_what_is_no_group_of_programs_cannot_be_resized(begin: Begin, name: object) -> None:
    site = begin(MYAPP + POOL)
    assert fault(site.listener.resize, name)[0] == Faults.BAD_NAME


def test_a_group_that_has_not_changed_stays(begin: Begin) -> None:
    site = begin(WEB.format(numprocs=2))
    before = site.processes()
    site.listener.resize("web")
    assert site.processes() == before
