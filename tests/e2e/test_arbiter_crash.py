"""What is held of an arbiter's sockets keeps connections waiting while one that has crashed is
started again, and is let go where the program is stopped or cannot be started."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

from tests.harness import MakeSite, Program, free_port, refuses, steady, wait_until


def both(**options: Any) -> list[Program]:
    """One program that listens on a Unix socket, and one at a port."""
    return [Program("unix", **options), Program("tcp", port=free_port(), **options)]


def test_no_connection_is_refused_while_an_arbiter_that_was_killed_is_started_again(
    make_site: MakeSite,
) -> None:
    site = make_site(*both(boot_secs=0.5))

    def kill() -> None:
        pids = {name: site.pid(name) for name in site.programs}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in pids.items():
            wait_until(lambda n=name, p=pid: site.pid(n) not in (0, p), 15, "there is another")

    def all_ready() -> None:
        for name in site.programs:
            site.wait_ready(name, 2)

    loads = [site.load(name) for name in site.programs]
    with steady(*loads):
        kill()
        all_ready()
        kill()
        kill()  # also the one that has hardly begun
        all_ready()
    for load in loads:  # none has failed either, since workers end what they have begun
        assert not load.so_far().failed, load.so_far()
    for name in site.programs:
        site.wait_state(name, "RUNNING")
        site.roll(name, "--strategy", "arbiter")
    all_ready()


def test_one_that_is_killed_while_its_successor_boots_is_started_again_and_that_one_discarded(
    make_site: MakeSite,
) -> None:
    program = Program(port=free_port())
    site = make_site(program)
    old = site.pid("web")
    site.deploy("v2", boot="gate")
    site.write(replace(program, environment={"COLOUR": "green"}))
    with steady(load := site.load("web")):
        rolling = site.ctl_start("rollrestart", "web")
        wait_until(lambda: len(site.all_workers("web").booting) == 2, 15, "its workers boot")
        os.kill(old, signal.SIGKILL)
        rolling.ends(1, f"the arbiter (pid {old}) exited")
        site.open_gate("v2")  # what supervisord has started again boots there too
        site.wait_ready("web", 2)
    assert not load.so_far().failed, load.so_far()
    wait_until(lambda: site.arbiters("web") == [site.pid("web")], 15, "the successor is gone")
    site.assert_alone("web")


def test_what_was_held_for_one_that_cannot_start_again_is_let_go(make_site: MakeSite) -> None:
    retries = {"fatal": 0, "stopped": 10}
    # Time enough for a boot to fail in it, so that supervisord counts these failures.
    site = make_site(
        *(
            Program(name, port=free_port(), section={"startsecs": "3", "startretries": str(number)})
            for name, number in retries.items()
        )
    )
    site.deploy("bad", boot="raise")
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


def test_a_stop_refuses_at_once_and_restart_and_start_work(make_site: MakeSite) -> None:
    site = make_site(*both())

    def stop() -> None:
        for name in site.programs:
            assert not refuses(site.address(name))
            site.rpc.supervisor.stopProcess(name)
            assert refuses(site.address(name))

    def answer_after(command: str) -> None:
        assert site.ctl(command, *site.programs).status == 0
        for name in site.programs:
            site.wait_ready(name, 2)
        with steady(*(loads := [site.load(name) for name in site.programs]), before=5, after=1):
            pass
        for load in loads:
            assert not load.so_far().failed, load.so_far()

    stop()
    answer_after("start")
    answer_after("restart")
    for name in site.programs:
        site.roll(name, "--strategy", "arbiter")
    stop()
    answer_after("restart")
