"""Whatever becomes of a successor that is not promoted: the group is as before, and it is told."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.wire.successor import Succession
from tests.harness.waiting import patience
from tests.rpc.succeeding import (
    PLAIN,
    UNCHANGED,
    Succeeding,
    descriptors,
    fault,
    gone,
    wait_executed,
)
from tests.rpc.supervised import wait_for

Begin = Callable[..., Succeeding]
MYAPP = f"[program:myapp]\n{PLAIN}\n"
CHANGED = [[[], ["myapp"], []]]


def ended(site: Succeeding) -> Succession:
    """What is said of the successor once it has ended."""
    return wait_for(lambda: (found := site.succession()).ended and found)


def assert_as_before(
    site: Succeeding, before: dict[str, tuple[int, str]], opened: list[str]
) -> None:
    assert site.processes() == before
    assert site.reload_config() == CHANGED
    supervisord = site.server.supervisor.getPID()
    wait_for(lambda: descriptors(supervisord) == opened)
    site.write(MYAPP)
    assert site.reload_config() == UNCHANGED
    assert site.succeed().successor, "it can be tried again"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("command=nosuch --option", "can't find command 'nosuch'"),
        ("command=/nosuch/nosuch", "can't find command '/nosuch/nosuch'"),
        ("command=/usr", "command at '/usr' is a directory"),
        ("command=/etc/passwd", "command at '/etc/passwd' is not executable"),
        ("command='sleep", "can't parse command"),
        ("stdout_logfile={folder}/folder", "stdout_logfile={folder}/folder: Is a directory"),
        ("stderr_logfile={folder}/folder", "stderr_logfile={folder}/folder: Is a directory"),
    ],
)
def test_what_cannot_be_spawned_is_a_fault_that_says_why(
    begin: Begin, line: str, says: str
) -> None:
    site = begin(MYAPP)
    (site.folder / "folder").mkdir()
    before, supervisord = site.processes(), site.server.supervisor.getPID()
    opened = descriptors(supervisord)
    command = PLAIN.splitlines()[0]
    section = MYAPP.replace(command, line) if line.startswith("command") else MYAPP + line
    site.change(section)
    for _ in range(2):
        code, text = fault(site.succeed)
        assert code == Faults.SPAWN_ERROR
        assert text.startswith("SPAWN_ERROR: myapp: ")
        assert says.replace("{folder}", str(site.folder)) in text
    assert site.succession() == Succession(before["myapp"][0], "RUNNING")
    assert_as_before(site, before, opened)


@pytest.mark.parametrize(
    ("section", "how", "tail"),
    [
        (f"{PLAIN}\ndirectory=/nosuch", "exit status 127", "couldn't chdir to /nosuch: ENOENT"),
        (
            "command={folder}/script\nstartsecs=0",
            "exit status 127",
            "couldn't exec {folder}/script",
        ),
        ("command=/bin/sh -c 'echo boom >&2; exit 3'", "exit status 3", "boom\n"),
        (
            "command=/bin/sh -c 'echo boom; exit 3'\nstartsecs=0\nredirect_stderr=true",
            "exit status 3",
            "boom\n",
        ),
        (
            "command=/bin/sh -c 'echo boom; exit 0'\nstartsecs=0\nautorestart=true\nstartretries=9",
            "exit status 0",
            "boom\n",
        ),
        (
            "command=/bin/sh -c 'echo boom; sleep 0.3; echo bang >&2; kill -9 $$'\nstartsecs=0\n"
            "stdout_logfile=NONE\nstderr_logfile=NONE",
            "terminated by SIGKILL",
            "boom\nbang\n",
        ),
    ],
)
def test_one_that_ends_by_itself_is_gone_and_how_and_its_last_words_are_kept(
    begin: Begin, section: str, how: str, tail: str
) -> None:
    site = begin(MYAPP)
    script = site.folder / "script"
    script.write_text("#!/nosuch\n")
    script.chmod(0o755)
    before, supervisord = site.processes(), site.server.supervisor.getPID()
    opened = descriptors(supervisord)
    site.change(f"[program:myapp]\n{section}\n")
    pid = site.succeed().successor
    found = ended(site)
    assert (found.pid, found.successor, found.successor_state) == (before["myapp"][0], 0, "")
    assert found.ended == f"(pid {pid}) ended: {how}"
    assert tail.replace("{folder}", str(site.folder)) in found.tail
    code, text = fault(site.promote)
    assert (code, f"its successor (pid {pid}) ended: {how}" in text) == (Faults.FAILED, True)
    assert_as_before(site, before, opened)
    assert site.succession().ended == site.succession().tail == "", "that is of the next one"


def test_no_log_file_is_made_for_one_that_cannot_open_another(begin: Begin) -> None:
    site = begin(MYAPP + "redirect_stderr=true\n")
    before = sorted(site.folder.iterdir())
    site.change(MYAPP + f"stdout_logfile={site.folder}\n")
    assert fault(site.succeed)[0] == Faults.SPAWN_ERROR
    assert sorted(site.folder.iterdir()) == before


def test_one_that_ran_for_a_while_is_gone_when_it_ends(begin: Begin) -> None:
    site = begin(MYAPP)
    before = site.processes()
    site.change(f"[program:myapp]\n{PLAIN}\nautorestart=true\nenvironment=A=1\n")
    pid = site.succeed().successor
    wait_executed(pid)
    assert site.succession().successor_state == "RUNNING"
    psutil.Process(pid).kill()
    assert ended(site).ended == f"(pid {pid}) ended: terminated by SIGKILL"
    assert site.processes() == before


def test_a_discarded_one_finishes_its_requests_whatever_stopsignal_is(begin: Begin) -> None:
    site = begin(MYAPP)
    before, supervisord = site.processes(), site.server.supervisor.getPID()
    opened = descriptors(supervisord)
    site.change(
        '[program:myapp]\ncommand=/bin/sh -c \'trap "echo retires" URG; trap told=1 TERM;'
        " echo on; while [ -z $told ]; do sleep 0.1; done; exit 5'\nstartsecs=0\nstopsignal=KILL\n"
    )
    pid = site.succeed().successor
    wait_for(lambda: psutil.Process(pid).children())
    site.discard()
    found = ended(site)
    assert (found.ended, found.tail) == (f"(pid {pid}) ended: exit status 5", "on\nretires\n")
    assert gone(pid)
    assert site.discard() == site.succession() == found, "asked for again, there is nothing to do"
    assert_as_before(site, before, opened)


def test_one_that_ignores_the_stop_signal_is_killed_after_stopwaitsecs(begin: Begin) -> None:
    site = begin(MYAPP)
    before, supervisord = site.processes(), site.server.supervisor.getPID()
    opened = descriptors(supervisord)
    site.change(
        '[program:myapp]\ncommand=/bin/sh -c \'trap "echo no" TERM;'
        " while :; do sleep 0.1; done'\nstartsecs=0\n"
        f"stopwaitsecs={patience():.0f}\n"  # time to look, on a busy machine too
    )
    pid = site.succeed().successor
    wait_for(lambda: psutil.Process(pid).children())
    found = site.discard()
    assert (found.successor, found.successor_state) == (pid, "STOPPING")
    assert site.discard() == found
    assert fault(site.succeed) == (
        Faults.FAILED,
        "FAILED: myapp: its last successor is still being stopped",
    )
    assert fault(site.promote) == (Faults.FAILED, "FAILED: myapp: its successor is being stopped")
    assert site.processes()["myapp.successor"] == (pid, "STOPPING")
    found = ended(site)
    assert (found.ended, found.tail) == (f"(pid {pid}) ended: terminated by SIGKILL", "no\n")
    assert_as_before(site, before, opened)


@pytest.mark.parametrize("more", ["", "stdout_capture_maxbytes=1MB\n"])
def test_of_much_output_the_end_is_kept(begin: Begin, more: str) -> None:
    site = begin(MYAPP)
    site.change(
        "[program:myapp]\nstartsecs=0\ncommand=/bin/sh -c 'i=0; while [ $i -lt 9000 ];"
        f" do echo line $i; i=$((i+1)); done; echo -n end'\n{more}"
    )
    pid = site.succeed().successor
    wait_for(lambda: gone(pid))
    tail = ended(site).tail
    assert tail.endswith("line 8998\nline 8999\nend")
    assert 15000 < len(tail) <= 16384
    assert tail.count("line 8999") == 1


def test_what_is_captured_is_in_it_once(begin: Begin) -> None:
    """Between supervisor's tokens, for its communication events."""
    site = begin(MYAPP)
    text = "before <!--XSUPERVISOR:BEGIN-->within<!--XSUPERVISOR:END--> after"
    site.change(
        "[program:myapp]\nstartsecs=0\nstdout_capture_maxbytes=1MB\n"
        f"command=/bin/sh -c 'echo \"{text}, and that is all there is to say\"'\n"
    )
    site.succeed()
    tail = ended(site).tail
    for word in ("before ", "within", " after", "all there is to say\n"):
        assert tail.count(word) == 1
