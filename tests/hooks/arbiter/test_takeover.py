"""What only one of two arbiters can have stays the old one's until that is gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from supervisor_roll.hooks.arbiter.takeover import RESTART_SECS
from supervisor_roll.wire.messages import Reloaded, Starting, Stopping
from supervisor_roll.wire.successor import SUCCESSOR_VARIABLE
from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, Gunicorn, Site, answering, ask

WITH_CONTROL_SOCKET = pytest.mark.parametrize("version", ["25.3.0", "27.0.1"])
DIRTY = """
from gunicorn.dirty import DirtyApp

class Dirty(DirtyApp):
    def __call__(self, *arguments, **named):
        return None
"""


def configured(site: Site, extra: str = "") -> str:
    return f"bind = 'unix:{site.folder}/http'\npidfile = 'pid'\n{extra}{HOOKS}"


def pid_in(path: Path) -> int:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0


def wait_for_pidfile(site: Site, gunicorn: Gunicorn) -> None:
    wait_until(lambda: pid_in(site.folder / "pid") == gunicorn.pid, DEADLINE_SECS, "the pidfile")
    assert not (site.folder / "pid.2").exists()


# --- the pidfile -----------------------------------------------------------------------------


def test_the_pidfile_names_the_old_arbiter_until_it_is_gone_and_then_the_new_one(
    site: Site, version: str
) -> None:
    """And the one after that, and none in the end."""
    serving = site.start(version, configured(site)).wait_ready()
    for _ in range(2):
        successor = site.start(version, configured(site), successor_of=serving.pid).wait_ready()
        # Its loop has turned since it has a ready worker: it is handled at a turn.
        successor.send(signal.SIGHUP)
        wait_until(
            lambda pid=successor.pid: site.listener.said(Reloaded, pid), DEADLINE_SECS, "the reload"
        )
        successor.wait_ready()
        assert pid_in(site.folder / "pid") == serving.pid
        # The reload is told before Gunicorn has written it anew.
        wait_until(
            lambda pid=successor.pid: pid_in(site.folder / "pid.2") == pid,
            DEADLINE_SECS,
            "the successor's pidfile",
        )
        assert serving.end() == 0
        wait_for_pidfile(site, successor)
        serving = successor
    serving.send(signal.SIGHUP)
    wait_until(lambda: len(site.listener.said(Reloaded, serving.pid)) == 2, DEADLINE_SECS, "HUP")
    serving.wait_ready()
    wait_for_pidfile(site, serving)
    assert serving.end() == 0
    assert not (site.folder / "pid").exists()


def test_a_successor_that_is_given_up_leaves_the_old_ones_pidfile(site: Site, version: str) -> None:
    old = site.start(version, configured(site)).wait_ready()
    for signum in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        successor = site.start(version, configured(site), successor_of=old.pid).wait_ready()
        assert pid_in(site.folder / "pid.2") == successor.pid
        successor.end(signum)
        assert pid_in(site.folder / "pid") == old.pid
    assert not (site.folder / "pid.2").exists()
    # The workers of the one that was killed may take a moment to see it.
    wait_until(lambda: answering(f"unix:{site.folder}/http") == old.pid, DEADLINE_SECS, "the old")


def test_another_pidfile_is_taken_at_once(site: Site, version: str) -> None:
    old = site.start(version, configured(site)).wait_ready()
    successor = site.start(
        version, configured(site).replace("'pid'", "'another'"), successor_of=old.pid
    ).wait_ready()
    wait_until(lambda: pid_in(site.folder / "another") == successor.pid, DEADLINE_SECS, "its own")
    assert pid_in(site.folder / "pid") == old.pid


def test_an_old_arbiter_that_crashes_can_be_started_again_before_its_pidfile_is_taken(
    site: Site,
) -> None:
    old = site.start("27.0.1", configured(site)).wait_ready()
    successor = site.start("27.0.1", configured(site), successor_of=old.pid).wait_ready()
    old.end(signal.SIGKILL)
    crashed = time.monotonic()
    wait_for_pidfile(site, successor)
    assert time.monotonic() > crashed + RESTART_SECS * 0.9


def test_nobody_after_a_successor_sees_how_it_began(site: Site, version: str) -> None:
    """Neither its workers nor what USR2 makes of it, which has its sockets from Gunicorn."""
    extra = "_open = open('/dev/null')\n"  # where systemd's sockets would be
    old = site.start(version, configured(site, extra)).wait_ready()
    successor = site.start(version, configured(site, extra), successor_of=old.pid).wait_ready()
    assert old.end() == 0
    wait_for_pidfile(site, successor)
    environment = json.loads(ask(f"unix:{site.folder}/http", "/environment"))
    assert not {SUCCESSOR_VARIABLE, "GUNICORN_PID", "GUNICORN_FD"} & environment.keys()

    successor.send(signal.SIGUSR2)
    second = wait_until(lambda: pid_in(site.folder / "pid.2"), DEADLINE_SECS, "what USR2 starts")
    site.listener.keep_paths = False
    try:
        assert successor.end() == 0
        assert not site.listener.said(Stopping, successor.pid)
        wait_until(lambda: pid_in(site.folder / "pid") == second, DEADLINE_SECS, "its pidfile")
        wait_until(lambda: answering(f"unix:{site.folder}/http") == second, DEADLINE_SECS, "it")
        assert not site.listener.said(Starting, second)
    finally:
        os.kill(second, signal.SIGTERM)
        wait_until(lambda: not pid_in(site.folder / "pid"), DEADLINE_SECS, "its end")


# --- what else there is one of -----------------------------------------------------------------


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


@WITH_CONTROL_SOCKET
@pytest.mark.parametrize("named", [True, False])
def test_the_control_socket_is_the_old_arbiters_until_it_is_gone(
    site: Site, version: str, named: bool
) -> None:
    """Also by default, where all Gunicorns of a user have the same; forks do not change it."""
    extra = f"control_socket = '{site.folder}/control'\n" if named else ""
    control = site.folder / ("control" if named else "gunicorn.ctl")
    old = site.start(version, configured(site, extra)).wait_ready()
    wait_until(lambda: connects(control), DEADLINE_SECS, "a control socket")
    inode = control.stat().st_ino
    successor = site.start(version, configured(site, extra), successor_of=old.pid).wait_ready()
    successor.send(signal.SIGTTIN)
    successor.wait_ready(2)
    assert control.stat().st_ino == inode
    assert connects(control)

    assert old.end() == 0
    wait_until(lambda: connects(control), DEADLINE_SECS, "the successor's control socket")
    successor.send(signal.SIGTTIN)
    successor.wait_ready(3)
    wait_until(lambda: connects(control), DEADLINE_SECS, "it, after a fork")
    assert successor.end() == 0
    assert not control.exists()


def test_a_control_socket_that_is_not_wanted_is_not_made(site: Site) -> None:
    extra = f"control_socket_disable = True\ncontrol_socket = '{site.folder}/control'\n"
    old = site.start("27.0.1", configured(site, extra)).wait_ready()
    successor = site.start("27.0.1", configured(site, extra), successor_of=old.pid).wait_ready()
    assert old.end() == 0
    wait_for_pidfile(site, successor)
    assert not (site.folder / "control").exists()


def dirty_arbiter(gunicorn: Gunicorn) -> int:
    """The child that is no worker of its."""
    text = Path(f"/proc/{gunicorn.pid}/task/{gunicorn.pid}/children").read_text()
    others = {int(pid) for pid in text.split()} - set(gunicorn.workers())
    return others.pop() if len(others) == 1 else 0


def test_a_successors_dirty_arbiter_does_not_end_the_old_ones(site: Site) -> None:
    (site.folder / "dirt.py").write_text(DIRTY)
    extra = f"dirty_apps = ['dirt:Dirty']\ndirty_workers = 1\nproc_name = {site.folder.name!r}\n"
    old = site.start("27.0.1", configured(site, extra)).wait_ready()
    dirty = wait_until(lambda: dirty_arbiter(old), DEADLINE_SECS, "a dirty arbiter")
    successor = site.start("27.0.1", configured(site, extra), successor_of=old.pid).wait_ready()
    assert wait_until(lambda: dirty_arbiter(successor), DEADLINE_SECS, "its own") != dirty
    assert dirty_arbiter(old) == dirty
    assert "orphaned" not in old.log + successor.log
