"""Workers that leave by themselves in the middle of a rollout neither fail it, nor block it, nor
change the count in the end."""

from __future__ import annotations

import os
import signal

from tests.harness import MakeSite, Program, steady

WORKERS = 4


def test_an_outdated_worker_is_killed_in_the_middle(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS))
    before, arbiter = site.workers("web"), site.pid("web")
    site.deploy("v2", boot="gate")
    roll = site.ctl_start("rollrestart", "web")
    site.wait_booting("web", 1)
    victim = max(before.children)
    os.kill(victim, signal.SIGKILL)
    roll.wait_says(f"worker {victim} exited on its own")
    site.open_gate("v2")
    roll.ends()
    assert not site.wait_ready("web", WORKERS).children & before.children
    assert site.boots("web") == 2 * WORKERS
    assert site.pid("web") == arbiter


def test_a_fresh_worker_is_killed_after_it_was_ready(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS))
    before = site.workers("web")
    site.deploy("v2", boot="gate")
    roll = site.ctl_start("rollrestart", "web")
    site.open_gate("v2", boots=1)
    roll.wait_says("1/4")
    (victim,) = site.wait_booting("web", 1).ready - before.ready
    os.kill(victim, signal.SIGKILL)
    site.wait_booting("web", 2)
    site.open_gate("v2")
    roll.ends()
    assert not site.wait_ready("web", WORKERS).children & before.children


def test_recycling_under_load_in_the_middle(make_site: MakeSite) -> None:
    """Gunicorn's own way, of which nobody is told."""
    site = make_site(
        Program(workers=WORKERS, boot_secs=0.3, conf="max_requests = 15", roll={"recycle": "false"})
    )
    before, arbiter = site.workers("web"), site.pid("web")
    with steady(load := site.load("web"), after=0):
        site.deploy("v2")
        recycled = site.log("web").count("Autorestarting worker")
        site.roll("web")
        recycled = site.log("web").count("Autorestarting worker") - recycled
    assert recycled > 0
    assert not load.so_far().failed, load.so_far()
    assert not site.wait_ready("web", WORKERS).children & before.children
    assert site.pid("web") == arbiter
