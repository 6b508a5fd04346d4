"""How long many programs take that are rolled some at once, over what their boots alone take."""

from __future__ import annotations

import argparse
import os
import re
import time
from typing import Any

from tests.harness import Program, Site

MOST_RATIO = 1.2
LONGEST_SECS = 1800.0


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "parallel",
        help="how long many programs take with rollrestart --parallel N",
        description="Rolls all programs of a site with each N in turn. Prints how long that took, "
        "over the sum of its boots, as reported, divided by N; 1 if the last N took more than "
        f"{MOST_RATIO:g} times as long. Boots that compute need cores: each takes about 0.1 s of "
        "one beside its --boot-secs, and where N of them have not that many the sum shows it.",
    )
    parser.add_argument("--programs", type=int, default=52, help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="of each (%(default)s)")
    parser.add_argument("--boot-secs", type=float, default=1.0, help="of each (%(default)s)")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8], help="N (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each N; 1 if the last one took too long."""
    names = [f"app{number:02}" for number in range(options.programs)]
    programs = (
        Program(name, workers=options.workers, boot_secs=options.boot_secs) for name in names
    )
    site = Site(*programs)
    ratio = 0.0
    try:
        site.start()
        print(f"{options.programs} programs x {options.workers} workers of {options.boot_secs:g} s")
        print(f"{'N':>3}{'seconds':>10}{'boots / N':>11}{'ratio':>7}{'load average':>14}")
        for number in options.at_once:
            began = time.monotonic()
            command = site.ctl_start("rollrestart", "--parallel", str(number), *names)
            output = command.ends(deadline_secs=LONGEST_SECS)
            secs = time.monotonic() - began
            boots = sum(float(one) for one in re.findall(r"booted in (\S+) s", output)) / number
            ratio = secs / boots
            load = os.getloadavg()[0]
            print(f"{number:>3}{secs:>10.1f}{boots:>11.1f}{ratio:>7.2f}{load:>14.1f}", flush=True)
    finally:
        site.stop()
        site.remove()
    return 1 if ratio > MOST_RATIO else 0
