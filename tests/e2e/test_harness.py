"""The harness itself sees failures: what Gunicorn and supervisor do by themselves shows in it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.harness import MakeSite, Program, Site, free_port, wait_until

BOOT_SECS = 1.5


@pytest.fixture
def slow_site(make_site: MakeSite) -> Site:
    return make_site(
        Program(workers=2, boot_secs=BOOT_SECS, port=free_port(), hooks=False), roll=False
    )


def test_hup_of_a_slow_booting_app_leaves_no_worker_ready_and_stalls_requests(
    slow_site: Site,
) -> None:
    before = slow_site.workers("web")
    slow_site.add_release("v2", boot="gate", boot_secs=0)
    with slow_site.load("web") as load, slow_site.observe("web") as seen:
        wait_until(lambda: load.answered_by("v1") > 25, 10, "the old release answers")
        slow_site.deploy("v2")
        assert slow_site.ctl("signal", "HUP", "web").status == 0
        wait_until(lambda: not slow_site.workers("web").ready, 30, "no worker is ready")
        time.sleep(BOOT_SECS)
        slow_site.open_gate("v2")
        slow_site.wait_replaced("web", before)
        wait_until(lambda: load.answered_by("v2") > 25, 10, "the new release answers")
        summary = load.stop()
    assert seen.min_ready == 0
    assert seen.secs_below(1) > BOOT_SECS / 2
    assert seen.max_children > 2
    assert summary.longest_wait_secs > BOOT_SECS / 2, summary
    assert summary.answered.keys() == {"v1", "v2"}
    # The stall is the server's: the generator itself was never that late.
    assert summary.latest_start_secs < summary.longest_wait_secs, summary


def test_supervisors_restart_refuses_connections(slow_site: Site) -> None:
    with slow_site.load("web") as load:
        wait_until(lambda: load.answered_by("v1") > 25, 10, "requests are answered")
        assert slow_site.ctl("restart", "web").status == 0
        slow_site.wait_ready("web", 2)
        summary = load.stop()
    assert any("ConnectionRefusedError" in error for error in summary.errors), summary
    assert all(request.start and request.end for request in summary.requests)


def test_keep_alive_connections_are_used_again(make_site: MakeSite) -> None:
    site = make_site(
        Program(workers=2, worker_class="gthread", conf="threads = 8", hooks=False), roll=False
    )
    with site.load("web", keep_alive=True, connections=3) as load:
        wait_until(lambda: load.answered_by("v1") > 60, 10, "requests are answered")
        summary = load.stop()
    assert not summary.failed, summary
    assert 3 <= summary.connections < 20, summary


def test_a_request_lost_with_its_worker_is_recorded_and_not_sent_again(make_site: MakeSite) -> None:
    site = make_site(Program(workers=1, hooks=False), roll=False)
    (worker,) = site.workers("web").ready
    with site.load("web", path="/slow?secs=60", rate=0.001) as load:
        wait_until(lambda: "takes 60 s" in site.log("web"), 10, "a request is in the worker")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: load.so_far().errors.keys() - {"no answer yet"}, 10, "it is lost")
        with site.load("web") as others:
            wait_until(lambda: others.answered_by("v1"), 10, "the next request is answered")
    (lost,) = load.so_far().requests
    assert lost.error.startswith(("RemoteDisconnected", "ConnectionResetError"))
    assert others.so_far().requests[0].pid not in (None, worker)
    assert site.log("web").count("takes 60 s") == 1
