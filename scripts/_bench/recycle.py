"""Workers are replaced for max_requests under load: what requests wait, and how many serve."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from tests.harness import Observer, Program, Site, Summary, free_port

#: How many times the p99 of no recycling ours may be.
MOST_TIMES = 1.1
#: What the workers of the leak have at their beginning takes some 25 MiB.
LEAK_LIMIT_MIB, LEAK_MIB = 1024, 10
LEAK_RATE = 2.0
MIB = 2**20


@dataclass(frozen=True)
class Outcome:
    """What became of the load, how few were ready at worst, and how many were recycled."""

    summary: Summary
    least_ready: int
    recycled: int

    def wait_ms(self, percent: int) -> float:
        """How long that share of the requests waited at most."""
        waits = sorted(one.wait_secs for one in self.summary.requests)
        return waits[min(len(waits) * percent // 100, len(waits) - 1)] * 1000


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "recycle",
        help="what requests wait while workers are replaced for max_requests, ours and Gunicorn's",
        description="Load a program whose workers reach max_requests again and again: without "
        "that limit, with Gunicorn's own way, and with ours. With --leak: hold workers that leak "
        f"{LEAK_MIB} MiB a request below {LEAK_LIMIT_MIB} MiB.",
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--boot-secs", type=float, default=3.0)
    parser.add_argument("--request-secs", type=float, default=0.02)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second (%(default)s)")
    parser.add_argument("--max-requests", type=int, default=600)
    parser.add_argument("--jitter", type=int, default=150)
    parser.add_argument("--secs", type=float, default=60.0, help="for each way (%(default)s)")
    parser.add_argument("--leak", action="store_true", help="the other measurement, for 300 s")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 if ours lost a request, had fewer ready, or made them wait longer."""
    if options.leak:
        return _leak(options)
    print(
        f"{options.workers} workers, {options.boot_secs:g} s boot, {options.request_secs * 1000:g}"
        f" ms a request, {options.rate:g} requests/s for {options.secs:g} s; max_requests "
        f"{options.max_requests}, jitter {options.jitter}; load average {os.getloadavg()[0]:.1f}"
        f"\n\n{'':<20}{'p50':>10}{'p99':>10}{'failed':>8}{'of':>8}"
        f"{'least ready':>13}{'recycled':>10}",
        flush=True,
    )
    limit = f"max_requests = {options.max_requests}\nmax_requests_jitter = {options.jitter}"
    ways = {
        "no max_requests": ("", {}),
        "Gunicorn's own way": (limit, {"recycle": "false"}),
        "recycle=true": (limit, {}),
    }
    found = {}
    for name, (conf, roll) in ways.items():
        one = found[name] = _measured(options, conf, roll)
        print(
            f"{name:<20}{one.wait_ms(50):>7.0f} ms{one.wait_ms(99):>7.0f} ms"
            f"{len(one.summary.failed):>8}{len(one.summary.requests):>8}{one.least_ready:>13}"
            f"{one.recycled:>10}",
            flush=True,
        )
    none, ours = found["no max_requests"], found["recycle=true"]
    times = ours.wait_ms(99) / none.wait_ms(99)
    print(f"\np99 with recycle=true: {times:.2f} times that without max_requests")
    well = not ours.summary.failed and ours.least_ready >= options.workers and ours.recycled
    return 0 if well and times <= MOST_TIMES else 1


@contextmanager
def _site(
    options: argparse.Namespace, conf: str, roll: dict[str, str], leak: int
) -> Iterator[Site]:
    program = Program(
        app="leaky:app",
        workers=options.workers,
        boot_secs=options.boot_secs,
        port=free_port(),
        conf=conf,
        roll=roll,
        environment={"LEAK_MIB": str(leak), "REQUEST_SECS": str(options.request_secs)},
    )
    site = Site(program)
    try:
        yield site.start()
    finally:
        site.stop()
        site.remove()


def _measured(options: argparse.Namespace, conf: str, roll: dict[str, str]) -> Outcome:
    with _site(options, conf, roll, 0) as site:
        load = site.load("web", rate=options.rate, max_secs=options.secs + 60)
        with site.observe("web") as seen, load:
            time.sleep(options.secs)
            summary = load.stop()
        return Outcome(summary, seen.min_ready, _recycled(seen))


def _recycled(seen: Observer) -> int:
    """How many workers have left."""
    pids = {pid for one in seen.samples for pid in one.children}
    return len(pids - seen.samples[-1].children)


def _leak(options: argparse.Namespace) -> int:
    """Print what the largest worker had; 1 if that was above the limit, or a request was lost."""
    secs, largest = 300.0, 0
    roll = {"max_worker_rss_mib": str(LEAK_LIMIT_MIB)}
    with _site(options, "", roll, LEAK_MIB) as site:
        load = site.load("web", rate=LEAK_RATE, max_secs=secs + 60)
        with site.observe("web") as seen, load:
            until = time.monotonic() + secs
            while time.monotonic() < until:
                largest = max([largest, *map(_own_bytes, site.workers("web").children)])
                time.sleep(0.5)
            summary = load.stop()
    print(
        f"{options.workers} workers that leak {LEAK_MIB} MiB a request, {LEAK_RATE:g} requests/s "
        f"for {secs:g} s, limit {LEAK_LIMIT_MIB} MiB: the largest had {largest / MIB:.0f} MiB; "
        f"{_recycled(seen)} recycled, never fewer than {seen.min_ready} ready, "
        f"{len(summary.failed)} of {len(summary.requests)} requests failed"
    )
    well = largest <= LEAK_LIMIT_MIB * MIB and not summary.failed
    return 0 if well and seen.min_ready >= options.workers and _recycled(seen) else 1


def _own_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_full_info().uss)
    except psutil.Error:
        return 0
