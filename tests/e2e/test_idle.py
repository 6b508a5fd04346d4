"""A listener with nothing to do becomes a small process, and nobody notices.

Here it does so after next to no time, so that it changes at every chance.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import MakeSite, Program, Site, free_port, refuses, steady, wait_until
from tests.harness.processes import command_line, environment

MOST_KIB = 6 * 1024
AUTO = {"auto": "true", "settle_secs": "0.5"}


def idle_site(make_site: MakeSite, *programs: Program, secs: float = 0.02) -> Site:
    """A site whose listener becomes small after so long with nothing to do."""
    site = make_site(*programs, start=False)
    roll = site.folder / "conf.d" / "roll.conf"
    roll.write_text(f'{roll.read_text()}\nenvironment = SUPERVISOR_ROLL_IDLE_SECS="{secs:g}"\n')
    return site.start()


def is_small(pid: int) -> bool:
    return any(b"stand_in" in one for one in command_line(pid))


def wait_small(site: Site) -> int:
    """Wait until the listener is small; its pid."""
    pid = site.listener_pid
    wait_until(lambda: is_small(pid), 30, "the listener is small", 0.01)
    return pid


def descriptors(pid: int) -> set[str]:
    """What the process has open: its standard streams, and sockets by their inodes."""
    found = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(one.readlink()))
        except FileNotFoundError:
            continue
    return found


def pss_kib(pid: int) -> int:
    sizes = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
    return int(sizes[sizes.index("Pss:") + 1])


def listener_log(site: Site) -> str:
    return "".join(log.read_text() for log in sorted((site.folder / "logs").glob("roll-stderr*")))


def assert_well(site: Site, listener: int) -> None:
    """It is the same listener, and small, and has found nothing wrong."""
    assert site.listener_pid == listener
    wait_small(site)
    assert pss_kib(listener) < MOST_KIB
    wrong = [one for one in listener_log(site).splitlines() if " INFO " not in one]
    assert not wrong


@pytest.mark.parametrize("strategy", ["workers", "arbiter"])
def test_rollouts_with_a_change_at_every_chance(make_site: MakeSite, strategy: str) -> None:
    site = idle_site(make_site, Program(port=free_port()))
    listener = wait_small(site)
    assert pss_kib(listener) < MOST_KIB
    for number in range(10):
        with site.unharmed(replaced=2, same_arbiter=strategy == "workers"):
            site.roll("web", "--strategy", strategy)
        wait_small(site)
        if number == 0:
            open_then = len(descriptors(listener))
    wait_until(lambda: len(descriptors(listener)) == open_then, 15, "no descriptor was leaked")
    assert_well(site, listener)


def test_what_it_keeps_open_stays_open(make_site: MakeSite) -> None:
    """Not even a listener that may not take an arbiter's sockets out of it loses them."""
    site = idle_site(make_site, Program(port=free_port()))
    listener = wait_small(site)

    def kept() -> set[str]:
        return {one for one in descriptors(wait_small(site)) if one.startswith("socket:")}

    wait_until(lambda: len(kept()) == 2, 15, "the readiness socket and the arbiter's")
    sockets = kept()
    old = site.workers("web")
    os.kill(min(old.ready), signal.SIGKILL)
    wait_until(lambda: len(site.workers("web").ready - old.ready) == 1, 15, "there is another")
    assert kept() == sockets
    assert_well(site, listener)


def test_workers_that_boot_and_an_arbiter_that_crashes(make_site: MakeSite) -> None:
    site = idle_site(make_site, Program(port=free_port(), boot_secs=0.5))
    listener = wait_small(site)
    opened = len(descriptors(listener))
    with steady(load := site.load("web")):
        for _ in range(5):
            before = site.workers("web")
            os.kill(min(before.ready), signal.SIGTERM)
            wait_until(
                lambda b=before: len(site.workers("web").ready - b.ready) == 1, 15, "another boots"
            )
            wait_small(site)
        arbiter = site.pid("web")
        os.kill(arbiter, signal.SIGKILL)
        wait_until(lambda: site.pid("web") not in (0, arbiter), 15, "there is another")
        site.wait_ready("web", 2)
    assert not load.so_far().failed, load.so_far()
    assert site.listener_pid == listener
    site.roll("web")
    wait_small(site)
    site.rpc.supervisor.stopProcess("web")
    wait_until(lambda: refuses(site.address("web")), 15, "a stop is not taken for a crash")
    wait_until(lambda: len(descriptors(wait_small(site))) < opened, 15, "nothing is kept of it")


def test_who_watches_wakes_it_and_it_rests_again(make_site: MakeSite) -> None:
    site = idle_site(make_site, Program(port=free_port()))
    listener = wait_small(site)

    def seen() -> set[int]:
        found = json.loads(site.rpc.roll.workers(["web"]))["programs"].get("web", [])
        return {one["pid"] for one in found if one["state"] == "ready" and one["memory_bytes"]}

    wait_until(lambda: seen() == site.workers("web").ready, 15, "each worker is shown")
    assert_well(site, listener)


def a_section(site: Site) -> None:
    site.write(replace(site.programs["web"], environment={"COLOUR": "green"}))


def a_new_included_file(site: Site) -> None:
    site.write_conf("more", "[program:more]\ncommand=/bin/cat\n")


def a_release(site: Site) -> None:
    site.deploy("v2")


@pytest.mark.parametrize("change", [a_section, a_release], ids=lambda one: one.__name__)
def test_what_has_changed_meanwhile_is_rolled_by_itself(
    make_site: MakeSite, change: Callable[[Site], None]
) -> None:
    site = make_site(Program(), start=False)
    site.write(replace(site.programs["web"], roll={**AUTO, "watch": str(site.current)}))
    site = idle_site(lambda *_, **__: site)
    listener = wait_small(site)
    before = site.workers("web")
    with steady(load := site.load("web")):
        change(site)
        wait_until(lambda: site.rollout("web").get("state") == "complete", 30, "it is rolled")
        site.wait_replaced("web", before)
    assert not load.so_far().failed, load.so_far()
    assert_well(site, listener)


def test_a_program_that_becomes_automatic_is_seen(make_site: MakeSite) -> None:
    """Nothing tells the listener but the files, which it looks at when supervisord ticks."""
    web = Program()
    site = idle_site(make_site, web)
    listener = wait_small(site)
    site.write(replace(web, roll=AUTO, environment={"COLOUR": "green"}))
    wait_until(lambda: site.rollout("web").get("state") == "complete", 40, "it is rolled")
    assert "COLOUR=green" in environment(site.pid("web"))
    assert_well(site, listener)


def test_it_is_stopped_and_started_and_killed(make_site: MakeSite) -> None:
    site = idle_site(make_site, Program())
    first = wait_small(site)
    assert site.ctl("stop", "roll").status == 0
    assert site.state("roll") == "STOPPED"
    assert site.ctl("start", "roll").status == 0
    second = site.wait_listener(other_than=first)
    assert wait_small(site) == second
    third = site.restart_listener()
    assert wait_small(site) == third
    with site.unharmed(replaced=2):
        site.roll("web")
    os.kill(site.supervisord_pid, signal.SIGTERM)
    wait_until(lambda: not command_line(third), 30, "it ends with supervisord")


def test_who_writes_to_it_keeps_it_awake(make_site: MakeSite) -> None:
    """Also one who is not heard: it would be woken by that again and again."""
    site = idle_site(make_site, Program(), secs=0.5)
    listener = wait_small(site)
    path = next((site.folder / "run").glob("**/supervisor_roll.sock")) / str(os.geteuid())

    def write() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            try:
                one.sendto(b"nonsense", str(path))
            except BlockingIOError:
                pass

    write()
    wait_until(lambda: not is_small(listener), 15, "it is woken", 0.01)
    ends = time.monotonic() + 3
    while time.monotonic() < ends:
        write()
        time.sleep(0.02)
        assert not is_small(listener)
    wait_small(site)
    with site.unharmed(replaced=2):
        site.roll("web")
