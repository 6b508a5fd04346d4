"""Outside a rollout too, a release that cannot boot neither ends the arbiter nor makes it spin:
it tries again, more and more rarely, and serves by itself once the release is mended."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.harness import MakeSite, Program, steady, wait_until

WORKERS = 2


@pytest.mark.parametrize("version", [None, "20.1.0"])
def test_a_worker_that_dies_while_a_bad_release_is_deployed(
    make_site: MakeSite, version: str | None
) -> None:
    site = make_site(Program(workers=WORKERS, gunicorn=version))
    arbiter = site.pid("web")
    site.deploy("bad", boot="raise")
    victim, survivor = sorted(site.workers("web").children)
    forks, began = site.boots("web"), time.monotonic()
    os.kill(victim, signal.SIGKILL)
    # Between its tries it waits 0.5 s, 1 s and 2 s.
    wait_until(lambda: site.boots("web") >= forks + 5, 60, "it has tried five times")
    assert time.monotonic() - began > 3.5
    assert site.pid("web") == arbiter
    assert survivor in site.workers("web").ready
    with steady(load := site.load("web"), after=1):
        site.deploy("mended")
        wait_until(lambda: load.answered_by("mended"), 60, "it serves by itself")
    assert not load.so_far().failed, load.so_far()
    assert survivor in site.wait_ready("web", WORKERS).ready
    assert site.pid("web") == arbiter
    site.roll("web")


def test_hup_with_a_bad_release(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS))
    arbiter, before = site.pid("web"), site.workers("web")
    site.deploy("bad", boot="raise")
    forks, began = site.boots("web"), time.monotonic()
    assert site.ctl("signal", "HUP", "web").status == 0
    # Gunicorn stops the old workers all the same. Two slots fail, and wait, side by side.
    wait_until(lambda: site.boots("web") >= forks + 4 * WORKERS, 60, "it has tried again")
    assert time.monotonic() - began > 3
    assert site.pid("web") == arbiter
    assert site.state("web") == "RUNNING"
    site.deploy("mended")
    after = site.wait_ready("web", WORKERS, deadline_secs=60)
    assert not after.children & before.children
    assert site.pid("web") == arbiter
    with steady(load := site.load("web")):
        pass
    assert load.so_far().answered.keys() == {"mended"}
    assert not load.so_far().failed, load.so_far()
