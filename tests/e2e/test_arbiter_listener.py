"""A listener that is killed holds no sockets any more. The next one finds them again, also in the
middle of a rollout, or says before anything is touched that it cannot."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.harness import MakeSite, Program, Site, WorkerTable, free_port, steady, wait_until

CHANGED = {"COLOUR": "green"}
#: In Gunicorn's configuration file: an arbiter waits there before it asks for any socket.
HOLD = """\
import os, time
while os.path.exists(os.path.join(os.path.dirname(__file__), "hold")):
    time.sleep(0.02)
"""
TRACEABLE = """\
import ctypes  # where Yama restricts it, an arbiter may say who may have its descriptors
ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)
"""
#: As root it would have them all again with the exec, but for the bounding set.
POWERLESS = """\
import ctypes, os, sys
PR_CAPBSET_DROP = 24
for capability in range(64):
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "supervisor_roll.listener"])
"""
PROGRAM = Program(conf=HOLD + TRACEABLE)


def test_a_listener_that_was_restarted_recovers_the_sockets(make_site: MakeSite) -> None:
    program = replace(PROGRAM, binds=(free_port(), "web.sock"))
    site = make_site(program)
    site.write(replace(program, environment=CHANGED))
    with site.unharmed(replaced=2, same_arbiter=False):
        site.restart_listener()
        site.roll("web")
    site.assert_applied("web")


def before_it_asks(site: Site) -> None:
    site.kill_listener()
    (site.folder / "hold").unlink()


def before_it_asks_and_when_it_does_nobody_is_there(site: Site) -> None:
    starts = site.log("web").count("Starting gunicorn")
    assert site.ctl("stop", "roll").status == 0
    (site.folder / "hold").unlink()
    wait_until(lambda: site.log("web").count("Starting gunicorn") > starts, 15, "it is to ask")
    assert site.ctl("start", "roll").status == 0


def while_it_boots(site: Site) -> None:
    (site.folder / "hold").unlink()
    wait_until(lambda: len(site.all_workers("web").booting) == 2, 15, "its workers boot")
    site.restart_listener()
    assert len(site.all_workers("web").booting) == 2


def while_it_boots_and_nobody_hears_that_it_is_ready(site: Site) -> None:
    (site.folder / "hold").unlink()
    wait_until(lambda: len(site.all_workers("web").booting) == 2, 15, "its workers boot")
    site.kill_listener()


def right_when_it_is_ready(site: Site) -> None:
    (successor,) = {*site.arbiters("web")} - {site.pid("web")}
    (site.folder / "hold").unlink()
    site.open_gate("v2")
    workers = WorkerTable(successor)
    wait_until(lambda: len(workers.sample().ready) == 2, 15, "its workers are ready", 0.002)
    site.kill_listener()


@pytest.mark.parametrize(
    "kill",
    [
        before_it_asks,
        before_it_asks_and_when_it_does_nobody_is_there,
        while_it_boots,
        while_it_boots_and_nobody_hears_that_it_is_ready,
        right_when_it_is_ready,
    ],
    ids=lambda kill: kill.__name__,
)
def test_a_listener_that_is_killed_in_the_middle_of_a_rollout(
    make_site: MakeSite, kill: Callable[[Site], None]
) -> None:
    site = make_site(PROGRAM).deploy("v2", boot="gate")
    (site.folder / "hold").touch()
    site.write(replace(PROGRAM, environment=CHANGED))
    with site.unharmed(replaced=2, same_arbiter=False):
        rolling = site.ctl_start("rollrestart", "web")
        wait_until(lambda: len(site.arbiters("web")) == 2, 15, "there is a successor")
        kill(site)
        site.open_gate("v2")
        rolling.ends()
    site.assert_applied("web")
    assert site.boots("web") == 4


def test_a_listener_that_is_killed_while_the_old_arbiter_drains(make_site: MakeSite) -> None:
    site = make_site(PROGRAM)
    old = site.pid("web")
    slow = site.load("web", path="/slow?secs=60", rate=0.001, timeout_secs=60)
    with site.unharmed(replaced=2, same_arbiter=False), steady(slow, before=1, after=0):
        wait_until(lambda: "v1 takes 60 s" in site.log("web"), 15, "a slow request is served")
        rolling = site.ctl_start("rollrestart", "--strategy", "arbiter", "web")
        rolling.wait_says("took over")
        assert old in site.arbiters("web")
        site.restart_listener()
        site.wake("v1")
        rolling.ends()
    assert not slow.so_far().failed, slow.so_far()
    site.assert_applied("web")


@pytest.fixture
def unprivileged(make_site: MakeSite) -> Site:
    """A site whose listener has no capabilities, and so no right to trace what has them all."""
    site = make_site(replace(PROGRAM, port=free_port()), start=False)
    powerless = site.folder / "powerless.py"
    powerless.write_text(POWERLESS)
    roll = site.folder / "conf.d" / "roll.conf"
    roll.write_text(
        re.sub(
            "(?m)^command = .*",
            f"command = {sys.executable} {powerless} -m supervisor_roll.listener",
            roll.read_text(),
        )
    )
    return site.start()


@pytest.mark.skipif(os.getuid() != 0, reason="takes capabilities to drop")
def test_a_listener_that_may_not_recover_them_says_what_to_do_before_anything_is_touched(
    unprivileged: Site,
) -> None:
    site, program = unprivileged, unprivileged.programs["web"]
    before, old, boots = site.workers("web"), site.pid("web"), site.boots("web")
    with steady(load := site.load("web")):
        site.restart_listener()
        site.write(replace(program, environment=CHANGED))
        output = site.roll("web", status=1)
        assert "web: refused, nothing was touched:" in output
        assert "--strategy workers" in output
        assert site.workers("web").children == before.children
        assert (site.pid("web"), site.boots("web")) == (old, boots)
        site.assert_alone("web")

        site.roll("web", "--strategy", "workers")
        assert site.pid("web") == old
        site.roll("web")
        assert site.pid("web") != old
        site.wait_ready("web", 2)
        site.assert_applied("web")

        # Without the sockets a rollout that is under way cannot go on.
        second = site.pid("web")
        (site.folder / "hold").touch()
        rolling = site.ctl_start("rollrestart", "--strategy", "arbiter", "web")
        wait_until(lambda: len(site.arbiters("web")) == 2, 15, "there is a successor")
        before_it_asks(site)
        rolling.ends(1, "keeps no sockets")
        assert site.pid("web") == second
        wait_until(lambda: site.arbiters("web") == [second], 15, "the successor is gone")
        site.assert_alone("web")
    assert not load.so_far().failed, load.so_far()


def test_gevent_workers_that_began_before_the_listener_hand_the_sockets_in(
    make_site: MakeSite,
) -> None:
    """They take the descriptors out of their arbiter's sockets, from Gunicorn 25 on."""
    program = Program(worker_class="gevent", gunicorn="27.0.1")
    site = make_site(program)
    site.wait_ready("web", 2)
    assert site.ctl("stop", "roll").status == 0
    assert site.ctl("restart", "web").status == 0
    wait_until(lambda: len(site.workers("web").children) == 2, 15, "its workers")
    assert site.ctl("start", "roll").status == 0
    site.wait_ready("web", 2)
    site.write(replace(program, environment=CHANGED))
    asked = ("rollrestart", "--dry-run", "--no-preflight", "web")
    # They say at a heartbeat that they are ready, and hand them in then.
    wait_until(lambda: site.ctl(*asked).status == 0, 30, "a rollout is not refused any more", 0.5)
    with site.unharmed(replaced=2, same_arbiter=False):
        site.roll("web")
    site.assert_applied("web")
