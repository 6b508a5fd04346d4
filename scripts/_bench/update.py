"""One changed environment variable comes into force in three ways: what the clients see of each."""

from __future__ import annotations

import argparse
import subprocess
import time
from dataclasses import dataclass, replace
from typing import Any

from tests.harness import Program, Site, Summary, free_port, wait_until

WORKERS = 2
#: The ways, each after another change of the same variable.
WAYS = [("update",), ("restart", "web"), ("rollrestart", "web")]
STEADY_SECS = 1.0


@dataclass(frozen=True)
class Outcome:
    """What came of one way. ``boots`` is how long it took, in boots of one worker."""

    way: str
    load: Summary
    boots: float


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "update",
        help="requests that a changed environment variable costs: update, restart and rollrestart",
    )
    parser.add_argument(
        "--boot-secs", type=float, default=1.5, help="how long a worker takes to boot (%(default)s)"
    )
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 if ``rollrestart`` lost a request."""
    boot_secs = float(options.boot_secs)
    program = Program(
        workers=WORKERS,
        boot_secs=boot_secs,
        port=free_port(),
        gunicorn="27.0.1",
        section={"autostart": "true"},
        environment={"RELEASE": "0"},
    )
    site = Site(program)
    try:
        site.start(deadline_secs=60 + boot_secs)
        outcomes = [
            _change(site, program, number, way, options) for number, way in enumerate(WAYS, 1)
        ]
    finally:
        site.stop()
        site.remove()
    print(
        f"One changed environment variable; {WORKERS} workers, {boot_secs:g} s to boot, "
        f'{options.rate:g} requests a second, each on a\nfresh connection. "whole" is in boots '
        f"of one worker, until the new ones serve.\n\n"
        f"  {'supervisorctl':<16}{'requests':>10}{'refused':>9}{'lost':>7}{'longest wait':>14}"
        f"{'whole':>8}"
    )
    for one in outcomes:
        refused, failed = len(one.load.refused), len(one.load.failed)
        print(
            f"  {one.way:<16}{len(one.load.requests):>10}{refused:>9}{failed - refused:>7}"
            f"{one.load.longest_wait_secs:>12.2f} s{one.boots:>8.1f}"
        )
    print("\nOf these, restart does not even bring it into force: it starts what supervisord knew.")
    return 1 if outcomes[-1].load.failed else 0


def _change(
    site: Site, program: Program, number: int, way: tuple[str, ...], options: argparse.Namespace
) -> Outcome:
    site.write(replace(program, environment={"RELEASE": str(number)}))
    if way[0] == "restart":
        # That does not read the files: the operator has done so, and gets the old variable.
        site.ctl("reread")
    old, deadline_secs = site.pid("web"), 60 + 4 * options.boot_secs
    with site.load("web", rate=options.rate) as load:
        wait_until(lambda: len(load.so_far().requests) > options.rate, 30, "requests go out")
        began = time.monotonic()
        subprocess.run(
            site.ctl_command(*way), stdout=subprocess.DEVNULL, timeout=deadline_secs, check=True
        )
        wait_until(lambda: site.pid("web") not in (0, old), deadline_secs, "it is another arbiter")
        site.wait_ready("web", WORKERS, deadline_secs)
        took_secs = time.monotonic() - began
        time.sleep(STEADY_SECS)
        summary = load.stop()
    site.wait_state("web", "RUNNING")
    return Outcome(" ".join(way), summary, took_secs / options.boot_secs)
