"""roll.reread and roll.adopt: what has changed, and what needs no successor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.program import Program
from supervisor_roll.wire.successor import LIVE, NEEDS_ARBITER, NEEDS_UPDATE, Change, Reread
from tests.rpc.succeeding import (
    PLAIN,
    UNCHANGED,
    Succeeding,
    environ,
    fault,
    group,
    keys,
    wait_executed,
)
from tests.rpc.supervised import wait_for

Begin = Callable[..., Succeeding]
MYAPP = f"[program:myapp]\n{PLAIN}\n"
OTHER = f"[program:other]\n{PLAIN}\n"
POOL = "[eventlistener:pool]\ncommand=sleep 1000\nevents=TICK_5\nstartsecs=0\n"


# A line of a program's section, and what it changes.
LINES = [
    ("autostart=false", {"autostart": LIVE}),
    ("autorestart=true", {"autorestart": LIVE}),
    ("startretries=7", {"startretries": LIVE}),
    ("stopsignal=INT", {"stopsignal": LIVE}),
    ("stopwaitsecs=7", {"stopwaitsecs": LIVE}),
    ("stopasgroup=true", {"stopasgroup": LIVE, "killasgroup": LIVE}),
    ("exitcodes=7", {"exitcodes": LIVE}),
    ("priority=7", {"priority": LIVE}),
    ("stderr_syslog=true", {"stderr_syslog": NEEDS_ARBITER}),
    ("stdout_logfile_maxbytes=1MB", {"stdout_logfile_maxbytes": NEEDS_ARBITER}),
    ("stdout_logfile_backups=1", {"stdout_logfile_backups": NEEDS_ARBITER}),
    ("stdout_capture_maxbytes=1MB", {"stdout_capture_maxbytes": NEEDS_ARBITER}),
    ("stderr_events_enabled=true", {"stderr_events_enabled": NEEDS_ARBITER}),
    ("serverurl=http://127.0.0.1:1", {"serverurl": NEEDS_ARBITER}),
    ("stdout_logfile=NONE", {"stdout_logfile": NEEDS_ARBITER}),
    ("stdout_logfile=AUTO", {}),
    ("environment=", {}),
    ("umask=022\nstopwaitsecs=7", {"umask": NEEDS_ARBITER, "stopwaitsecs": LIVE}),
]


def test_changed_keys_have_the_names_of_the_section(begin: Begin) -> None:
    site = begin(MYAPP + OTHER)
    assert site.reread() == Reread()
    for line, changed in LINES:
        found = site.change(MYAPP + line + "\n" + OTHER)
        assert keys(found) == ({"myapp": changed} if changed else {}), line
        assert site.reload_config() == [[[], ["myapp"] if changed else [], []]], line
        assert site.change(MYAPP + OTHER) == Reread(), line


def test_the_digest_stands_for_all_new_values(begin: Begin) -> None:
    site = begin(MYAPP)
    digests = [
        site.change(MYAPP + line).changes[0].digest
        for line in (
            "environment=A=1\n",
            "environment=A=2\n",
            "environment=A=2,B=3\n",
            "environment=B=3,A=2\n",
            "environment=A=1\n",
            "umask=027\n",
        )
    ]
    assert len(set(digests)) == 4
    assert digests[2] == digests[3]
    assert digests[0] == digests[4]
    assert "A=" not in site.listener.reread()


def test_groups_come_and_go_and_event_listeners_are_none_of_it(begin: Begin) -> None:
    site = begin(MYAPP + OTHER + POOL)
    assert site.change(
        MYAPP + POOL + f"priority=3\nenvironment=A=1\n[program:new]\n{PLAIN}\n"
    ) == Reread(added=["new"], removed=["other"])
    assert site.change(MYAPP + OTHER) == Reread()
    assert site.change(MYAPP + OTHER + POOL.replace(":pool", ":ears")) == Reread()


def test_what_is_beside_a_program_is_none_of_it(begin: Begin) -> None:
    site = begin(MYAPP)
    found = site.change(MYAPP + "umask=027\n")
    site.succeed()
    assert site.reread() == found


# The text of a file that cannot be used, and words that name what is wrong there.
UNUSABLE = [
    (
        "[program:myapp]\ncommand=x\nstartsecs=soon\n",
        ["'soon'", "in section 'program:myapp'", "programs.conf"],
    ),
    ("[program:new]\nautostart=true\n", ["does not specify a command", "programs.conf"]),
    ("[program:new]\ncommand=%(nope)s\n", ["nope", "program:new", "programs.conf"]),
    ("[program:new]\ncommand=x\nuser=nobody-at-all\n", ["nobody-at-all", "programs.conf"]),
    ("[program:new]\ncommand=x\nstdout_logfile=/nosuch/log\n", ["/nosuch", "programs.conf"]),
    ("[group:web]\nprograms=nosuch\n", ["[group:web] names unknown program", "nosuch"]),
    ("command=x\n", ["no section headers", "programs.conf"]),
    ("[program:new]\ncommand\n", ["programs.conf"]),
    ("[program:new]\ncommand=x\npriority=high\n", ["'high'"]),
    (
        "[fcgi-program:new]\ncommand=x\nsocket=tcp://localhost:1\nuser=nobody-at-all\n",
        ["nobody-at-all"],
    ),
    ("[eventlistener:new]\ncommand=x\n", ["eventlistener:new"]),
    ("\udcff[program:new]\ncommand=x\n", ["decode"]),
]


def test_what_is_wrong_with_a_file_is_said_and_nothing_changes(begin: Begin) -> None:
    site = begin(MYAPP)
    before = site.processes()
    site.change(MYAPP + "environment=A=1\n")
    for text, says in UNUSABLE:
        site.write(text)
        code, told = fault(site.listener.reread)
        assert code == Faults.CANT_REREAD, text
        assert [word for word in says if word not in told] == []
        assert "\n" not in told
        assert site.processes() == before, text
        new = site.succeed().successor
        assert environ(new)["A"] == "1", "the last that could be read is what counts"
        site.discard()
        wait_for(lambda: site.processes() == before)
    assert site.change(MYAPP) == Reread()


def test_how_a_program_would_be_spawned_by_what_was_reread(begin: Begin) -> None:
    site = begin(MYAPP)
    site.change(MYAPP.replace("1000", "2000") + "environment=A=1\numask=027\n")

    def described(changed: bool) -> Program:
        return from_json(Program, site.listener.program("myapp", changed))

    assert described(False).arguments == ["sleep", "1000"]
    then = described(True)
    assert then.arguments == ["sleep", "2000"]
    assert (then.umask, then.environment["A"]) == (0o027, "1")
    assert then.environment["SUPERVISOR_PROCESS_NAME"] == "myapp"
    site.replace()
    assert described(False) == then == described(True)


# --- what needs no successor ------------------------------------------------------------------


def test_what_supervisord_alone_heeds_is_adopted(begin: Begin) -> None:
    site = begin(MYAPP + OTHER)
    before = site.processes()
    assert site.listener.adopt("myapp") == "", "nothing has changed"
    site.change(MYAPP + "autorestart=false\nstopwaitsecs=33\npriority=5\n" + OTHER)
    assert site.listener.adopt("myapp") == ""
    assert site.reread() == Reread()
    assert site.reload_config() == UNCHANGED
    assert site.processes() == before
    site.server.supervisor.signalProcess("myapp", "KILL")
    wait_for(lambda: site.processes()["myapp"][1] == "EXITED")


def test_what_needs_a_successor_is_not_adopted(begin: Begin) -> None:
    site = begin(MYAPP)
    found = site.change(MYAPP + "stopwaitsecs=33\numask=027\n")
    code, text = fault(site.listener.adopt, "myapp")
    assert (code, text) == (Faults.FAILED, "FAILED: myapp: umask cannot be changed while it runs")
    assert site.reread() == found


def test_a_groups_own_priority_and_order_are_adopted(begin: Begin) -> None:
    site = begin(group("one,two"))
    assert keys(site.change(group("two,one", "priority=5"))) == {
        "web:one": {"priority": LIVE, "programs": LIVE},
        "web:two": {"priority": LIVE, "programs": LIVE},
    }
    for name in ("web:one", "web:two"):
        site.listener.adopt(name)
    assert site.reread() == Reread()
    assert site.reload_config() == UNCHANGED


def test_a_groups_own_priority_and_order_come_with_a_promotion(begin: Begin) -> None:
    site = begin(group("one,two"))
    changed = group("two,one", "priority=5") + "environment=A=1\n"
    assert list(keys(site.change(changed))) == ["web:one", "web:two"]
    assert keys(site.reread())["web:one"] != keys(site.reread())["web:two"]
    site.replace("web:two")
    assert site.reload_config() == UNCHANGED


# --- [fcgi-program] -----------------------------------------------------------------------------

FCGI = f"[fcgi-program:myapp]\n{PLAIN}\nsocket=unix://{{folder}}/fcgi.sock\n"


def test_an_fcgi_programs_successor_has_the_very_same_socket(begin: Begin) -> None:
    site = begin(FCGI)
    socket = (site.folder / "fcgi.sock").stat().st_ino
    wait_executed(site.pid())
    stdin = Path(f"/proc/{site.pid()}/fd/0").readlink()
    assert str(stdin).startswith("socket:")
    for number in range(2):
        site.change(FCGI + f"environment=A={number}\n")
        new = site.replace().pid
        assert environ(new)["A"] == str(number)
        assert Path(f"/proc/{new}/fd/0").readlink() == stdin
        assert site.reload_config() == UNCHANGED
    assert (site.folder / "fcgi.sock").stat().st_ino == socket


@pytest.mark.parametrize(
    ("before", "after"),
    [(FCGI, FCGI.replace("fcgi.sock", "new.sock")), (MYAPP, FCGI), (FCGI, MYAPP)],
)
def test_another_socket_of_an_fcgi_program_takes_an_update(
    begin: Begin, before: str, after: str
) -> None:
    site = begin(before)
    running = site.processes()
    (found,) = site.change(after).changes
    assert isinstance(found, Change)
    assert found.keys == {"socket": NEEDS_UPDATE}
    assert "supervisorctl update myapp" in found.why
    assert fault(site.succeed) == (Faults.FAILED, f"FAILED: myapp: {found.why}")
    assert fault(site.listener.adopt, "myapp")[0] == Faults.FAILED
    assert site.processes() == running
