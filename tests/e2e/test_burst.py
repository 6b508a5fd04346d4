"""However many workers speak at once, more than a socket's queue of 10 holds, none is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.harness import Program, Site

WORKERS = 24


@pytest.mark.parametrize("listener_hangs", [False, True])
def test_workers_that_become_ready_at_once_are_all_known(
    make_site: Callable[..., Site], listener_hangs: bool
) -> None:
    site = make_site(Program(workers=WORKERS, conf="timeout = 4"), start=False)
    site.add_release("v0", boot="gate")
    site.deploy("v0")
    site.start_supervisord()
    listener = site.wait_listener()
    site.start_programs()
    site.wait_booting("web", WORKERS)
    site.wait_state("web", "RUNNING")
    if listener_hangs:
        os.kill(listener, signal.SIGSTOP)
    site.open_gate("v0")
    before = site.wait_ready("web", WORKERS)
    if listener_hangs:
        os.kill(listener, signal.SIGCONT)
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    with site.load("web") as load, site.observe("web", every_secs=0.1) as seen:
        roll = site.ctl_start("rollrestart", "--max-surge=100%", "web")
        roll.wait_says(f"rolling {WORKERS} workers (surge {WORKERS}")
        site.wait_booting("web", WORKERS, deadline_secs=60)
        site.open_gate("v2")
        ran = roll.wait()
        summary = load.stop()
    assert ran.status == 0, ran.output
    assert f"complete: {WORKERS} workers replaced" in ran.output
    assert not summary.failed, summary
    assert seen.min_ready == WORKERS
    assert site.boots("web") == 2 * WORKERS
    assert not site.wait_ready("web", WORKERS).children & before.children
