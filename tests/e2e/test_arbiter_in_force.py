"""After a rollout with another arbiter all that was changed is in force, and all that supervisord
says and does is about the new one; while both run one can tell which is which."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import MakeSite, Program, steady, wait_until
from tests.harness.other_user import PYTHONPATH, nobody_runs
from tests.harness.processes import environment

#: It prints where Gunicorn was started, before it goes to ``chdir``.
SAYS_WHERE = "import os; print('started in', os.getcwd(), flush=True)"
RECORDER = Path(__file__).with_name("event_recorder.py")


@pytest.mark.parametrize("supervisor", [None, "4.2.5"])
def test_each_changed_key_is_in_force(make_site: MakeSite, supervisor: str | None) -> None:
    program = Program(workers=2, boot_secs=0.3, conf=SAYS_WHERE)
    site = make_site(program, supervisor=supervisor)
    old, before = site.pid("web"), site.workers("web")
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    changed = replace(
        program,
        app="--worker-class gthread --threads 3 plain:app",
        conf=f"{SAYS_WHERE}\nworkers = 3",
        gunicorn="23.0.0",
        environment={"COLOUR": "green"},
        section={
            "directory": str(elsewhere),
            "umask": "027",
            "stdout_logfile": f"{site.folder}/logs/anew.log",
            "stopsignal": "QUIT",
            "stopwaitsecs": "20",
        },
    )
    site.write(changed)
    with steady(load := site.load("web")):
        site.roll("web")
    assert not load.so_far().failed, load.so_far()
    new = site.pid("web")
    after = site.wait_ready("web", 3)
    assert new != old
    assert not after.children & before.children
    for pid in [new, *after.children]:
        assert _status_of(pid)["Umask"] == "0027"
        assert "COLOUR=green" in environment(pid)
    log = site.log("anew")
    assert f"started in {elsewhere}\n" in log
    assert "Starting gunicorn 23.0.0" in log
    assert "Using worker: gthread" in log
    assert str(new) not in site.log("web")
    site.assert_applied("web")
    # supervisorctl speaks of it, and supervisord stops it in its own way.
    assert str(new) in site.ctl("pid", "web").output
    assert str(new) in site.ctl("status", "web").output
    assert f"({new})" in site.ctl("tail", "web").output
    assert "stopped" in site.ctl("stop", "web").output
    assert "Handling signal: quit" in site.log("anew")
    assert not site.arbiters("web")
    assert "started" in site.ctl("start", "web").output
    site.wait_ready("web", 3)
    assert _status_of(site.pid("web"))["Umask"] == "0027"
    # Of which all can be changed back in the same way.
    site.wait_state("web", "RUNNING")
    site.write(program)
    site.roll("web")
    assert _status_of(site.pid("web"))["Umask"] == _status_of(os.getpid())["Umask"]
    site.wait_ready("web", 2)
    site.assert_applied("web")


def test_another_user_serves_on_the_same_socket(make_site: MakeSite) -> None:
    system = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    python = next(filter(nobody_runs, (sys.executable, system)), sys.executable)
    user = pwd.getpwnam("nobody") if nobody_runs(python) else pwd.getpwuid(os.getuid())
    program = Program(workers=2, boot_secs=0.3)
    site = make_site(program, start=False)
    site.folder.chmod(0o755)
    for name in ("run", "tmp"):
        (site.folder / name).chmod(0o777)
    site.start()
    path = f"{site.folder}/run/web.sock"
    site.write(
        replace(
            program,
            environment={"PYTHONPATH": PYTHONPATH},
            section={
                "user": user.pw_name,
                "command": f"{python} -m gunicorn -c {site.folder}/web.conf.py "
                f"-b unix:{path} plain:app",
            },
        )
    )
    with site.unharmed(replaced=2, same_arbiter=False):
        assert "user" in site.roll("web")
    # It is rolled like any other: its workers are heard, and their signals sent.
    with site.unharmed(replaced=2):
        assert "rolling 2 workers" in site.roll("web")
    for pid in [site.pid("web"), *site.workers("web").children]:
        assert _status_of(pid)["Uid"].split()[1] == str(user.pw_uid)
    site.assert_applied("web")
    assert "stopped" in site.ctl("stop", "web").output
    assert not Path(path).exists()


def test_while_both_run_one_can_tell_which_is_which(make_site: MakeSite) -> None:
    program = Program(workers=2)
    site = make_site(program, start=False)
    record = site.folder / "events"
    site.write_conf(
        "recorder",
        (
            f"[eventlistener:recorder]\ncommand={sys.executable} {RECORDER} {record}\n"
            "events=PROCESS_STATE\nbuffer_size=100\n"
        ),
    )
    site.start()
    old = site.pid("web")
    site.deploy("v2", boot="gate")
    site.write(replace(program, environment={"COLOUR": "green"}))
    with site.unharmed(replaced=2, same_arbiter=False) as meanwhile:
        roll = site.ctl_start("rollrestart", "web")
        roll.wait_says("starts beside")
        wait_until(lambda: len(site.all_workers("web").children) == 4, 15, "its workers boot")
        new = site.pid("web:web.successor")
        assert set(site.arbiters("web")) == {old, new}
        shown = site.ctl("status").output
        assert f"web                              RUNNING   pid {old}" in shown
        assert "web:web.successor " in shown
        for names in ([], ["web"]):
            shown = site.ctl("rollstatus", *names).output
            assert f"arbiter {old} serves, its successor {new} starts: 0 of 2 workers" in shown
        # The program is the one that serves, as long as it does.
        assert site.ctl("pid", "web").output.strip() == str(old)
        assert site.ctl("pid", "web:web.successor").output.strip() == str(new)
        assert site.reread() == [[], ["web"], []]
        site.wait_state("web:web.successor", "RUNNING")
        site.open_gate("v2")
        roll.ends(0, f"arbiter {old} -> {new}  took over; {old} finishes its requests")
    assert meanwhile.load.so_far().answered.keys() == {"v1", "v2"}
    assert site.ctl("pid", "web").output.strip() == str(new)
    site.assert_applied("web")
    shown = site.ctl("rollstatus", "web").output
    assert "complete" in shown
    assert "successor" not in shown
    assert site.ctl("restart", "web").output == "web: stopped\nweb: started\n"
    newest = site.wait_ready("web", 2) and site.pid("web")
    assert newest not in (old, new)
    said = f"PROCESS_STATE_RUNNING web {newest}"
    wait_until(lambda: said in record.read_text(), 15, "the last event is recorded")
    events = [
        line.removeprefix("PROCESS_STATE_")
        for line in record.read_text().splitlines()
        if line.split()[1].startswith("web")
    ]
    assert _of(events, str(new)) == [
        f"RUNNING web.successor {new}",
        f"STOPPING web {new}",
        f"STOPPED web {new}",
    ]
    assert _of(events, str(old)) == [
        f"RUNNING web {old}",
        f"STOPPING web.retiring {old}",
        f"STOPPED web.retiring {old}",
    ]
    assert "STARTING web.successor" in [one.strip() for one in events]


def _of(events: list[str], pid: str) -> list[str]:
    return [one for one in events if one.split()[2:] == [pid]]


def _status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
