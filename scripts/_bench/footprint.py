"""What the listener takes of a machine that rolls nothing: memory and wake-ups, awake and idle."""

from __future__ import annotations

import argparse
import os
import signal
import time
from statistics import median
from typing import Any, NamedTuple

import psutil

from tests.harness import Program, Site, free_port, wait_until
from tests.harness.processes import command_line

WORKERS = 2
IDLE = "SUPERVISOR_ROLL_IDLE_SECS"
MOST_MIB = 6.0
#: After a rollout supervisord still tells of processes that are RUNNING, or have ended.
SETTLE_SECS = 10.0


class Size(NamedTuple):
    """Of one process, in MiB: its share of what is mapped, and what is its own alone."""

    pss: float
    uss: float

    def __str__(self) -> str:
        return f"{self.pss:8.1f}{self.uss:8.1f}"


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "footprint",
        help="memory and wake-ups of the listener, awake and idle, before and after rollouts",
        description="Two sites with one program each: one listener is never idle, the other "
        "as soon as it can be. Prints what both take before and after rollouts of both "
        "strategies, how often they wake up, and what a boot and a rollout cost that find the "
        "listener idle.",
    )
    parser.add_argument(
        "--rollouts", type=int, default=20, help="between the two figures (%(default)s)"
    )
    parser.add_argument(
        "--secs", type=float, default=60.0, help="to count wake-ups for (%(default)s)"
    )
    parser.add_argument(
        "--boots", type=int, default=10, help="of which the median is taken (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables; 1 if an idle listener takes more than it should."""
    print(f"load average {os.getloadavg()[0]:.1f}\n")
    print(f"{'MiB':<34}{'PSS':>8}{'USS':>8}{'wake-ups/min':>14}{'CPU ms/min':>12}{'fds':>5}")
    most = 0.0
    costs = {}
    for name, idle_secs in (("awake", "0"), ("idle", "0.02")):
        site = _site(idle_secs)
        try:
            site.start()
            for rollouts in (0, options.rollouts):
                _roll(site, rollouts)
                time.sleep(SETTLE_SECS)
                pid = _settled(site, name)
                wakes, spent, fds = _spent(pid, options.secs)
                size = _size(pid)
                most = max(most, size.pss) if name == "idle" else most
                print(
                    f"listener {name}, after {rollouts:>4} rollouts   "
                    f"{size}{wakes:>14.0f}{spent:>12.1f}{fds:>5}",
                    flush=True,
                )
            costs[name] = (
                median(_boot_secs(site, name) for _ in range(options.boots)),
                median(_rollout_secs(site, name) for _ in range(options.boots)),
            )
        finally:
            site.stop()
            site.remove()
    print(f"\n{'median of ' + str(options.boots) + ', ms':<34}{'awake':>8}{'idle':>8}{'more':>8}")
    for number, what in enumerate(("a worker's fork to ready", "a command to complete")):
        awake, idle = (1000 * costs[name][number] for name in ("awake", "idle"))
        print(f"{what:<34}{awake:8.0f}{idle:8.0f}{idle - awake:8.0f}")
    print(f"\nload average {os.getloadavg()[0]:.1f}; {MOST_MIB:g} MiB are the most for an idle one")
    return 1 if most > MOST_MIB else 0


def _site(idle_secs: str) -> Site:
    site = Site(Program(workers=WORKERS, port=free_port()))
    roll = site.folder / "conf.d" / "roll.conf"
    roll.write_text(f'{roll.read_text()}\nenvironment = {IDLE}="{idle_secs}"\n')
    return site


def _roll(site: Site, rollouts: int) -> None:
    for number in range(rollouts):
        strategy = ("workers", "arbiter")[number % 2]
        site.roll("web", "--strategy", strategy)


def _settled(site: Site, name: str) -> int:
    """Wait until the listener is as it is to be measured; its pid."""
    pid = site.listener_pid
    if name == "idle":
        wait_until(lambda: any(b"stand_in" in one for one in command_line(pid)), 60, "it is idle")
    return pid


def _size(pid: int) -> Size:
    full = psutil.Process(pid).memory_full_info()
    return Size(full.pss / 2**20, full.uss / 2**20)


def _spent(pid: int, secs: float) -> tuple[float, float, int]:
    """How often a minute it wakes up, for how many ms of CPU, and how much it has open."""
    process = psutil.Process(pid)

    def now() -> tuple[float, float]:
        times = process.cpu_times()
        return process.num_ctx_switches().voluntary, 1000 * (times.user + times.system)

    before, began = now(), time.monotonic()
    time.sleep(secs)
    minutes = (time.monotonic() - began) / 60
    wakes, spent = (new - old for new, old in zip(now(), before, strict=True))
    return wakes / minutes, spent / minutes, process.num_fds()


def _boot_secs(site: Site, name: str) -> float:
    """From a worker's end to its successor's first beat."""
    _settled(site, name)
    before = site.workers("web")
    victim = min(before.ready)
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    wait_until(lambda: len(site.workers("web").ready - before.ready) == 1, 30, "another", 0.002)
    return time.monotonic() - began


def _rollout_secs(site: Site, name: str) -> float:
    _settled(site, name)
    began = time.monotonic()
    site.roll("web")
    return time.monotonic() - began
