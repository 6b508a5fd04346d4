"""However many workers speak at once, more than a socket's queue of 10 holds, none is lost."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.harness import MakeSite, Program

WORKERS = 24


@pytest.mark.parametrize("listener_hangs", [False, True])
def test_workers_that_become_ready_at_once_are_all_known(
    make_site: MakeSite, listener_hangs: bool
) -> None:
    site = make_site(Program(workers=WORKERS, conf="timeout = 4"), start=False)
    site.deploy("v0", boot="gate")
    site.start_supervisord()
    listener = site.wait_listener()
    site.start_programs()
    site.wait_booting("web", WORKERS)
    site.wait_state("web", "RUNNING")
    if listener_hangs:
        os.kill(listener, signal.SIGSTOP)
    site.open_gate("v0")
    site.wait_ready("web", WORKERS)
    if listener_hangs:
        os.kill(listener, signal.SIGCONT)
    site.deploy("v2", boot="gate")
    with site.unharmed(replaced=WORKERS):
        roll = site.ctl_start("rollrestart", "--max-surge=100%", "web")
        roll.wait_says(f"rolling {WORKERS} workers (surge {WORKERS}")
        site.wait_booting("web", 1)
        time.sleep(1)  # so that it has waited for longer than it has computed
        site.open_gate("v2", boots=1)
        site.wait_booting("web", WORKERS - 1, deadline_secs=60)
        site.open_gate("v2")
        roll.ends()
    assert site.boots("web") == 2 * WORKERS
