"""What is held of an arbiter's sockets keeps connections waiting while one that has crashed is
started again, and is let go where the program is stopped or cannot be started."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.harness import Program, Site, free_port, refuses, steady, wait_until


@pytest.mark.parametrize("where", ["Unix", "TCP"])
def test_no_connection_is_refused_while_an_arbiter_that_was_killed_is_started_again(
    make_site: Callable[..., Site], where: str
) -> None:
    site = make_site(Program(port=free_port() if where == "TCP" else None, boot_secs=0.5))

    def kill() -> None:
        pid = site.pid("web")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: site.pid("web") not in (0, pid), 15, "there is another arbiter")

    with steady(load := site.load("web")):
        kill()
        site.wait_ready("web", 2)
        kill()
        kill()  # also the one that has hardly begun
        site.wait_ready("web", 2)
    summary = load.so_far()
    assert not summary.refused, summary
    assert not summary.failed, summary  # since its workers end what they have begun
    site.wait_state("web", "RUNNING")
    assert site.ctl("rollrestart", "--strategy", "arbiter", "web").status == 0
    site.wait_ready("web", 2)


def test_one_that_is_killed_while_its_successor_boots_is_started_again_and_that_one_discarded(
    make_site: Callable[..., Site],
) -> None:
    program = Program(port=free_port())
    site = make_site(program)
    old = site.pid("web")
    site.add_release("v2", boot="gate")
    site.deploy("v2")
    site.write(replace(program, environment={"COLOUR": "green"}))
    with steady(load := site.load("web")):
        rolling = site.ctl_start("rollrestart", "web")
        wait_until(lambda: len(site.all_workers("web").booting) == 2, 15, "its workers boot")
        os.kill(old, signal.SIGKILL)
        ran = rolling.wait()
        site.open_gate("v2")  # what supervisord has started again boots there too
        site.wait_ready("web", 2)
    assert ran.status == 1, ran.output
    assert f"the arbiter (pid {old}) exited" in ran.output
    assert not load.so_far().failed, load.so_far()
    wait_until(lambda: site.arbiters("web") == [site.pid("web")], 15, "the successor is gone")
    site.assert_alone("web")


def test_what_was_held_for_one_that_cannot_start_again_is_let_go(
    make_site: Callable[..., Site],
) -> None:
    retries = {"fatal": 0, "stopped": 10}
    # Time enough for a boot to fail in it, so that supervisord counts these failures.
    site = make_site(
        *(
            Program(name, port=free_port(), section={"startsecs": "3", "startretries": str(number)})
            for name, number in retries.items()
        )
    )
    site.add_release("bad", boot="raise")
    site.deploy("bad")
    for name in retries:
        assert not refuses(site.address(name))
        os.kill(site.pid(name), signal.SIGKILL)
    site.wait_state("stopped", "BACKOFF")
    assert not refuses(site.address("stopped"))
    assert site.ctl("stop", "stopped").status == 0
    site.wait_state("fatal", "FATAL")
    for name in retries:
        wait_until(lambda name=name: refuses(site.address(name)), 5, f"{name}'s socket is let go")
    site.deploy("v1")
    assert site.ctl("start", *retries).status == 0
    for name in retries:
        site.wait_ready(name, 2)


@pytest.mark.parametrize("where", ["Unix", "TCP"])
def test_a_stop_refuses_at_once_and_restart_and_start_work(
    make_site: Callable[..., Site], where: str
) -> None:
    site = make_site(Program(port=free_port() if where == "TCP" else None))
    address = site.address("web")

    def stop() -> None:
        assert not refuses(address)
        site.rpc.supervisor.stopProcess("web")
        assert refuses(address)

    def answers() -> None:
        site.wait_ready("web", 2)
        with steady(load := site.load("web"), after=1):
            pass
        assert not load.so_far().failed, load.so_far()

    stop()
    assert site.ctl("start", "web").status == 0
    answers()
    assert site.ctl("restart", "web").status == 0
    answers()
    assert site.ctl("rollrestart", "--strategy", "arbiter", "web").status == 0
    stop()
    assert site.ctl("restart", "web").status == 0
    answers()
