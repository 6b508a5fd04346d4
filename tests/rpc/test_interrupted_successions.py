"""What an operator does to a program while its successor runs, or the old process retires."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.successor import Succession
from tests.harness.waiting import patience
from tests.rpc.succeeding import PLAIN, UNCHANGED, Succeeding, environ, fault, gone, wait_executed
from tests.rpc.supervised import DEAF_LISTENER, wait_for

Begin = Callable[..., Succeeding]
MYAPP = f"[program:myapp]\n{PLAIN}\n"
CHANGED = MYAPP + "environment=COLOUR=green\n"
OTHER = f"[program:other]\n{PLAIN}\n"
# It takes a while to stop, and says nothing.
SLOW = (
    "[program:myapp]\ncommand=/bin/sh -c 'trap \"\" TERM; echo on; while :; do sleep 0.1; done'"
    "\nstartsecs=0\nstopwaitsecs={secs}\nstdout_logfile={{folder}}/out\n"
)


def both(begin: Begin) -> tuple[Succeeding, int, int]:
    """The site, the program's pid, and its successor's."""
    site = begin(MYAPP)
    site.change(CHANGED)
    found = site.succeed()
    wait_executed(found.successor)
    return site, found.pid, found.successor


def retiring(begin: Begin, secs: int, drain_secs: float = 600) -> tuple[Succeeding, int, int]:
    """The site, the retiring process's pid, and that of the one that was promoted.

    The old one may take ``drain_secs`` by itself, and ``secs`` if the program is stopped: both
    on a quiet machine, since meanwhile the test has to look.
    """
    site = begin(SLOW.format(secs=round(secs * patience())))
    wait_for(lambda: site.log("out"))
    site.change(CHANGED)
    wait_executed(site.succeed().successor)
    found = site.promote(drain_secs=drain_secs * patience())
    return site, found.retiring, found.pid


def test_a_program_that_was_stopped_meanwhile_stays_stopped(begin: Begin) -> None:
    site, old, new = both(begin)
    assert site.ctl("stop", "myapp")[1] == "myapp: stopped\n"
    assert fault(site.promote) == (Faults.FAILED, "FAILED: myapp: it has been stopped meanwhile")
    assert site.discard().successor in (0, new)
    site.wait_names("myapp")
    assert site.processes() == {"myapp": (0, "STOPPED")}
    assert gone(old)
    assert gone(new)


@pytest.mark.parametrize("name", ["myapp:*", "all"])
def test_stop_of_all_stops_both(begin: Begin, name: str) -> None:
    site, old, new = both(begin)
    listener = site.listener  # "all" stops the process that it is known by
    site.ctl("stop", name)
    assert site.processes() == {"myapp": (0, "STOPPED")}
    assert gone(old)
    assert gone(new)
    assert (
        from_json(Succession, listener.getSuccession("myapp")).ended
        == f"(pid {new}) ended: terminated by SIGTERM"
    )
    assert site.ctl("start", name)[0] == 0
    site.wait_names("myapp")
    assert site.succeed().successor


def test_a_restarted_program_can_still_be_replaced(begin: Begin) -> None:
    site, old, new = both(begin)
    assert site.ctl("restart", "myapp")[0] == 0
    again = site.pid()
    assert again not in (old, new)
    assert "COLOUR" not in environ(again)
    assert site.promote() == Succession(new, "RUNNING", retiring=again)
    site.wait_names("myapp")
    assert gone(again)
    assert site.reload_config() == UNCHANGED


def test_a_program_that_has_crashed_is_replaced(begin: Begin) -> None:
    site = begin(MYAPP + "autorestart=false\n")
    site.change(CHANGED)
    new = site.succeed().successor
    psutil.Process(site.pid()).kill()
    wait_for(lambda: site.info("myapp")["statename"] == "EXITED")
    assert site.promote() == Succession(new, "RUNNING")
    assert site.processes() == {"myapp": (new, "RUNNING")}


def test_restart_of_all_leaves_one_of_each(begin: Begin) -> None:
    site, old, new = both(begin)
    site.ctl("restart", "all")
    ((pid, state),) = site.processes().values()
    assert state == "RUNNING"
    assert pid not in (old, new)


def test_an_update_begins_anew(begin: Begin) -> None:
    """supervisorctl's, which removes the changed group and adds it again."""
    site, old, new = both(begin)
    status, text = site.ctl("update")
    assert (status, "myapp: updated process group" in text) == (0, True)
    site.wait_names("myapp")
    wait_for(lambda: site.info("myapp")["statename"] == "RUNNING")
    assert gone(old)
    assert gone(new)
    pid = site.pid()
    assert environ(pid)["COLOUR"] == "green"
    assert site.succession() == Succession(pid, "RUNNING"), "of another group nothing is told"
    assert fault(site.promote) == (Faults.FAILED, "FAILED: myapp: it has no successor")
    assert site.succeed().successor not in (old, new)
    site.promote()
    site.wait_names("myapp")


def test_an_update_while_the_old_process_retires(begin: Begin) -> None:
    site, old, new = retiring(begin, 1)
    site.write(CHANGED + "umask=027\n")
    assert site.ctl("update")[0] == 0
    site.wait_names("myapp")
    assert gone(old)
    assert gone(new)
    assert site.succession().retiring == 0


def test_an_update_while_a_discarded_successor_stops(begin: Begin) -> None:
    """What it finds running when it removes the group, it would leave without a process."""
    site = begin(MYAPP)
    site.change(SLOW.format(secs=1))
    new = site.succeed().successor
    wait_for(lambda: site.log("out"))
    assert site.discard().successor == new
    assert site.ctl("update") == (0, "myapp: stopped\nmyapp: updated process group\n")
    assert gone(new)
    wait_for(lambda: site.info("myapp")["statename"] == "RUNNING")
    site.wait_names("myapp")


def test_a_program_has_not_stopped_before_its_predecessor_has(begin: Begin) -> None:
    site, old, new = retiring(begin, 2)
    site.server.supervisor.stopProcess("myapp", False)
    wait_for(lambda: gone(new))
    assert site.processes() == {"myapp": (0, "STOPPING"), "myapp.retiring": (old, "STOPPING")}
    site.wait_names("myapp")
    assert gone(old)
    assert site.processes() == {"myapp": (0, "STOPPED")}


def test_a_program_can_be_started_while_its_predecessor_retires(begin: Begin) -> None:
    site, old, new = retiring(begin, 600)
    site.server.supervisor.stopProcess("myapp", False)
    wait_for(lambda: gone(new))
    assert site.ctl("start", "myapp")[1] == "myapp: started\n"
    assert site.processes()["myapp"][1] == "RUNNING"
    site.server.supervisor.signalProcess("myapp:myapp.retiring", "KILL")
    site.wait_names("myapp")
    assert gone(old)
    assert site.succeed().successor


def test_a_removed_group_waits_for_all_of_its_processes(begin: Begin) -> None:
    site = begin(MYAPP + OTHER)
    site.change(CHANGED + OTHER)
    new = site.succeed().successor
    site.change(OTHER)
    site.server.supervisor.stopProcess("myapp")
    with pytest.raises(Exception, match="STILL_RUNNING"):
        site.server.supervisor.removeProcessGroup("myapp")
    assert site.ctl("update")[0] == 0
    assert site.processes().keys() == {"other:other"}
    assert gone(new)
    assert fault(site.succession)[0] == Faults.BAD_NAME


@pytest.mark.parametrize("promoted", [False, True])
def test_supervisord_shuts_down_with_all(begin: Begin, promoted: bool) -> None:
    site, old, new = retiring(begin, 1) if promoted else both(begin)
    assert site.process is not None
    listener = site.listener
    site.server.supervisor.shutdown()
    if promoted:  # it waits for the retiring one, as for any
        assert fault(listener.startSuccessor, "myapp")[0] == Faults.SHUTDOWN_STATE
    assert site.process.wait(90) == 0
    assert gone(old)
    assert gone(new)
    assert "Traceback" not in site.output


@pytest.mark.parametrize("promoted", [False, True])
def test_a_reload_of_supervisord_begins_anew(begin: Begin, promoted: bool) -> None:
    site, old, new = retiring(begin, 1) if promoted else both(begin)
    site.server.supervisor.restart()
    wait_for(
        lambda: (
            site.processes().keys() == {"myapp"}
            and site.processes()["myapp"][0] not in (0, old, new)
            and site.processes()["myapp"][1] == "RUNNING"
        )
    )
    assert gone(old)
    assert gone(new)
    assert environ(site.pid())["COLOUR"] == "green"
    assert site.succession() == Succession(site.pid(), "RUNNING")
    assert fault(site.promote) == (Faults.FAILED, "FAILED: myapp: it has no successor")
    assert site.replace().pid == site.pid()
    assert site.processes().keys() == {"myapp"}
    assert "Traceback" not in site.output


def test_a_retiring_process_that_does_not_stop_is_killed(begin: Begin) -> None:
    site, old, new = retiring(begin, 600, drain_secs=1)
    assert site.processes() == {"myapp": (new, "RUNNING"), "myapp.retiring": (old, "STOPPING")}
    site.wait_names("myapp")
    assert gone(old)
    assert site.succession() == Succession(new, "RUNNING")


def test_wildcards_of_a_request_pass_by_what_is_beside_a_program(begin: Begin) -> None:
    site = begin(SLOW.format(secs=600) + OTHER, listener=DEAF_LISTENER)
    wait_for(lambda: site.log("out"))
    site.exchange(hello=True)
    site.change(CHANGED + OTHER)
    site.succeed()
    site.succeed("other")
    site.promote()
    for kind in (wire.ROLLOUT, wire.DRY_RUN, wire.ABORT):
        assert sorted(site.request("all", kind=kind).programs) == ["myapp", "other"]
        assert site.request("myapp:*", kind=kind).programs == ["myapp"]
        for name in ("myapp:myapp.retiring", "other:other.successor"):
            code, text = fault(lambda name=name, kind=kind: site.request(name, kind=kind))
            assert (code, text) == (Faults.BAD_NAME, f"BAD_NAME: {name}: ERROR (no such process)")
    statuses = {name: wire.Status(COMPLETE, 1.0) for name in ("myapp", "other", "gone")}
    site.exchange(statuses=statuses)
    overview = from_json(wire.Overview, site.server.roll.status())
    assert sorted(overview.programs) == ["myapp", "other"]


def test_an_update_request_is_handed_on_as_it_was_given(begin: Begin) -> None:
    """What is named may not be there yet."""
    site = begin(MYAPP, listener=DEAF_LISTENER)
    code, text = fault(lambda: site.request("all", kind=wire.UPDATE))
    assert (code, "listener" in text) == (Faults.FAILED, True)
    site.exchange(hello=True)
    for names in (["all"], ["new", "myapp", "web:*"]):
        receipt = site.request(*names, kind=wire.UPDATE)
        assert (receipt.programs, receipt.skipped) == (names, [])
        request = site.exchange().requests[-1]
        assert (request.kind, request.programs, request.wildcard) == (wire.UPDATE, names, True)
