"""A listener that hangs keeps no program from starting and serving; once it goes on, so do
rollouts."""

from __future__ import annotations

import os
import signal
import time

from tests.harness import MakeSite, Program, patience, wait_until

WORKERS = 8
# The hooks wait for a listener for 2 s in all.
WAIT_SECS = 2


def test_a_program_starts_beside_a_hung_listener_and_rolls_after_it(make_site: MakeSite) -> None:
    # Idle workers beat, and so say again that they are ready, twice in their timeout.
    site = make_site(Program(workers=WORKERS, conf="timeout = 4"), start=False)
    site.start_supervisord()
    listener = site.wait_listener()
    os.kill(listener, signal.SIGSTOP)
    began = time.monotonic()
    assert site.ctl("start", "web").status == 0
    site.wait_ready("web", WORKERS)
    assert time.monotonic() - began < WAIT_SECS + 5 * patience()
    with site.unharmed(replaced=WORKERS) as (load, _, before):
        wait_until(lambda: load.answered_by("v1") > 50, 15, "it serves")
        site.deploy("v2")
        roll = site.ctl_start("rollrestart", "web")
        wait_until(lambda: site.listener_pid == listener, 15, "supervisord has the old listener")
        assert site.workers("web").children == before.children
        os.kill(listener, signal.SIGCONT)
        roll.ends()
    assert site.listener_pid == listener
