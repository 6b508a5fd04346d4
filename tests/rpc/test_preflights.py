"""A preflight runs beside its program for its seconds; nothing of it is left, whoever ends it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.rpc import preflights
from supervisor_roll.rpc.preflights import why_not
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.successor import Preflight
from tests.rpc.succeeding import (
    PLAIN,
    RECORDER,
    UNCHANGED,
    Succeeding,
    descriptors,
    environ,
    fault,
    gone,
    wait_executed,
)
from tests.rpc.supervised import environment, wait_for

Begin = Callable[..., Succeeding]
BESIDE, SHOWN = "myapp:myapp.preflight", "myapp.preflight"
# What serves sleeps; what is to load does {loads}.
MYAPP = """[program:myapp]
command=/bin/sh -c 'if [ -z "$SUPERVISOR_ROLL_PREFLIGHT" ]; then exec sleep 1000; fi; {loads}'
startsecs=0
stdout_logfile={{folder}}/out.log
"""
HANGS = MYAPP.format(loads="echo loads; exec sleep 500")


def start(site: Succeeding, within_secs: float = 60, changed: bool = False) -> Preflight:
    return from_json(Preflight, site.listener.startPreflight("myapp", within_secs, changed))


def shown(site: Succeeding) -> Preflight:
    return from_json(Preflight, site.listener.getPreflight("myapp"))


def ended(site: Succeeding, pid: int) -> Preflight:
    found = wait_for(lambda: (found := shown(site)).runs is False and found)
    assert found.pid == pid
    return found


def hanging(begin: Begin) -> tuple[Succeeding, int]:
    """The site, and the pid of a preflight that hangs."""
    site = begin(HANGS)
    pid = start(site).pid
    wait_executed(pid)
    for one in (pid, site.pid()):
        wait_for(lambda one=one: psutil.Process(one).name() == "sleep")
    return site, pid


@pytest.mark.parametrize(
    ("loads", "exit_code", "tail"),
    [
        ("echo one; echo two >&2", 0, "one\ntwo\n"),
        ("echo out; exit 3", 3, "out\n"),
        ("echo out; kill -9 $$", 137, "out\n"),
    ],
)
def test_its_end_is_told_with_what_it_wrote(
    begin: Begin, loads: str, exit_code: int, tail: str
) -> None:
    site = begin(MYAPP.format(loads=loads))
    supervisord = site.server.supervisor.getPID()
    before, opened = site.processes(), descriptors(supervisord)
    found = start(site)
    assert found == Preflight(found.pid, True)
    assert ended(site, found.pid) == Preflight(found.pid, False, exit_code, tail)
    assert site.processes() == before
    assert site.reload_config() == UNCHANGED
    assert site.log("out.log") == "", "it is none of the program's output"
    wait_for(lambda: descriptors(supervisord) == opened)


def test_it_is_what_supervisord_would_spawn_and_is_told_apart(begin: Begin) -> None:
    site, pid = hanging(begin)
    serving = site.pid()
    assert site.processes() == {"myapp": (serving, "RUNNING"), SHOWN: (pid, "RUNNING")}
    assert environ(pid) == {
        **environment(serving),
        "SUPERVISOR_ROLL_PREFLIGHT": "1",
        "SUPERVISOR_ROLL_SOCKET": "preflight",
        "SUPERVISOR_ROLL_SUCCESSOR_OF": str(serving),
        "GUNICORN_PID": str(serving),
        "PYTHONFAULTHANDLER": "1",
    }
    assert "SUPERVISOR_ROLL_TOKEN" not in environ(pid)
    assert psutil.Process(pid).cwd() == psutil.Process(serving).cwd()
    # It is no program of its own.
    assert fault(site.request, BESIDE)[0] == Faults.BAD_NAME
    site.exchange(hello=True)
    assert site.request("all").programs == ["myapp"]
    assert fault(site.listener.startSuccessor, BESIDE)[0] == Faults.BAD_NAME


def test_it_is_of_the_configuration_in_force_or_of_what_was_last_read(begin: Begin) -> None:
    site = begin(MYAPP.format(loads="echo $COLOUR"))
    site.change(MYAPP.format(loads="echo $COLOUR") + "environment=COLOUR=green\n")
    assert ended(site, start(site).pid).tail == "\n"
    assert ended(site, start(site, changed=True).pid).tail == "green\n"


def test_a_successor_and_a_preflight_do_not_stand_in_each_others_way(begin: Begin) -> None:
    site, pid = hanging(begin)
    successor = site.succeed().successor
    assert shown(site) == Preflight(pid, True)
    site.listener.stopPreflight("myapp")
    ended(site, pid)
    assert site.promote().pid == successor


def test_one_of_an_earlier_question_is_ended_first(begin: Begin) -> None:
    site, pid = hanging(begin)
    assert fault(start, site)[0] == Faults.ALREADY_STARTED
    assert ended(site, pid).exit_code == 128 + signal.SIGKILL
    assert start(site).pid != pid


def test_what_it_started_ends_with_it(begin: Begin) -> None:
    site = begin(MYAPP.format(loads="sleep 500 & echo $!"))
    child = int(ended(site, start(site).pid).tail)
    wait_for(lambda: gone(child))


def test_it_ends_at_last_even_if_nobody_sees_to_that(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = begin(HANGS)
    began = time.monotonic()
    found = start(site, 0.1)
    wait_executed(found.pid)
    assert wait_for(
        lambda: (now := shown(site)).runs is False and now, preflights.MARGIN_SECS + 20
    ).exit_code == (128 + signal.SIGALRM)
    assert time.monotonic() - began > preflights.MARGIN_SECS


def test_it_writes_where_it_hangs_and_leaves_no_core(begin: Begin) -> None:
    loads = f'exec {sys.executable} -c "import time; open(\\"hangs\\", \\"w\\"); time.sleep(500)"'
    site = begin(MYAPP.format(loads=loads))
    pid = start(site).pid
    wait_for((site.folder / "hangs").exists)
    assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE)[0] == 0
    site.server.supervisor.signalProcess(BESIDE, "ABRT")
    found = ended(site, pid)
    assert found.exit_code == 128 + signal.SIGABRT
    assert "most recent call first" in found.tail


@pytest.mark.parametrize("how", ["stop myapp:*", "stop all", "update", "remove", "shutdown"])
def test_who_ends_the_program_ends_it_as_well(begin: Begin, how: str) -> None:
    site, pid = hanging(begin)
    serving = site.pid()
    if how in ("update", "remove"):
        site.write("" if how == "remove" else HANGS + "environment=COLOUR=green\n")
        how = "update"
    status, text = site.ctl(*how.split())
    assert status == 0, text
    wait_for(lambda: gone(pid) and gone(serving))
    if how != "shutdown":
        wait_for(lambda: SHOWN not in site.processes())


def test_a_reload_ends_it(begin: Begin) -> None:
    site, pid = hanging(begin)
    site.ctl("reload")
    wait_for(lambda: gone(pid))
    wait_for(lambda: site.processes()["myapp"][1] == "RUNNING")
    assert list(site.processes()) == ["myapp"]


def test_that_it_has_loaded_is_no_alarm_for_who_watches(begin: Begin) -> None:
    site = begin(MYAPP.format(loads="exit 0"), listener=RECORDER)
    start(site)
    wait_for(lambda: any("myapp.preflight" in one and "EXITED" in one for one in site.events))
    told = [one for one in site.events if "myapp.preflight" in one]
    assert any("expected:1" in one for one in told if "EXITED" in one), told
    assert not [one for one in told if "BACKOFF" in one or "FATAL" in one]


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("command=nosuch --option", Faults.SPAWN_ERROR, "can't find command 'nosuch'"),
        ("command=sudo gunicorn app:app", Faults.FAILED, "goes through sudo"),
        ("command=uvicorn app:app", Faults.FAILED, "its command has changed"),
    ],
)
def test_one_that_cannot_be_made_is_a_fault(begin: Begin, line: str, code: int, says: str) -> None:
    site = begin(f"[program:myapp]\n{PLAIN}\n")
    if code == Faults.SPAWN_ERROR:
        line += " gunicorn"
    site.change(f"[program:myapp]\n{line}\nstartsecs=0\n")
    before = site.processes()
    found = fault(start, site, 60, True)
    assert found[0] == code and says in found[1]
    assert (site.processes(), shown(site)) == (before, Preflight())


@pytest.mark.parametrize("arguments", [(0,), (-1,), ("1",), (True,), (float("nan"),), (1e12,)])
def test_a_time_that_is_none_is_refused(begin: Begin, arguments: tuple[Any, ...]) -> None:
    site = begin(f"[program:myapp]\n{PLAIN}\n")
    assert fault(site.listener.startPreflight, "myapp", *arguments)[0] == Faults.BAD_ARGUMENTS
    assert fault(site.listener.startPreflight, "nosuch", 1)[0] == Faults.BAD_NAME
    site.ctl("stop", "myapp")
    assert fault(start, site)[0] == Faults.NOT_RUNNING


@pytest.mark.skipif(os.getuid() != 0, reason="takes root")
def test_it_runs_as_the_programs_user(begin: Begin) -> None:
    site = begin(MYAPP.format(loads="id -un; umask") + "user=nobody\numask=027\n")
    assert ended(site, start(site).pid).tail == "nobody\n0027\n"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("gunicorn app:app", ""),
        ("/srv/venv/bin/gunicorn app:app", ""),
        ("/bin/sh -c 'ulimit -n 9; exec gunicorn app:app'", ""),
        ("python3 -m gunicorn app:app", ""),
        ("python3 -m gunicorn.app.wsgiapp app:app", ""),
        ("gunicorn3 app:app", ""),
        ("env A=1 newrelic-admin run-program gunicorn app:app", ""),
        ("sh -c 'GUNICORN_CMD_ARGS=-w3 exec gunicorn app:app'", ""),
        ("sudo -u www gunicorn app:app", "goes through sudo"),
        ("sh -c 'exec env -i gunicorn app:app'", "goes through env -i"),
    ],
)
def test_a_command_that_would_serve_in_place_of_loading_is_not_run(command: str, why: str) -> None:
    for serving in (command, "gunicorn other:app"):
        found = why_not(command, serving)
        assert why in found and bool(found) == bool(why)


@pytest.mark.parametrize("command", ["/srv/start", "python /srv/gunicorn/serve.py"])
def test_what_has_been_heard_runs_gunicorn_whatever_its_command(command: str) -> None:
    assert why_not(command, command) == ""
    assert "does not show that it is Gunicorn's own" in why_not(command, "gunicorn app:app")
