"""How long after a worker's word that it is ready its arbiter hears the next signal."""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.harness import Program, Site

#: By number of workers: how many rollouts, and the most that the median may be, in ms.
CASES = {4: (25, 1.5), 64: (8, 3.5)}
MOST_P99_MS = 10.0

#: Each process notes what it says or hears, on the one monotonic clock of the machine.
NOTES = """
import os as _os, signal as _signal, time as _time
from supervisor_roll.hooks.channel import Channel as _Channel

_ask = _Channel.ask


def _note(what, when):
    with open("%(notes)s", "a") as notes:
        notes.write(f"{what} {when}\\n")


def _asking(channel, message, *more, **how):
    now = _time.monotonic()
    answer = _ask(channel, message, *more, **how)
    if message.kind == "READY":
        _note("said", now)
    return answer


def when_ready(server):
    for number in (_signal.SIGTTIN, _signal.SIGTTOU):
        def heard(signum, frame, own=_signal.getsignal(number)):
            if _os.getpid() == server.pid:
                now = _time.monotonic()
                own(signum, frame)
                _note("heard", now)
        _signal.signal(number, heard)


_Channel.ask = _asking
"""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "latency",
        help="from a worker's READY to the next signal that its arbiter hears",
        description="Rolls a program of 4 and one of 64 workers, one by one. Prints the median and "
        "the 99th percentile of the time from each READY to the next TTIN or TTOU as the arbiter's "
        "handler hears it (p10 hardly feels the neighbours), beside an XML-RPC call of "
        "supervisor's own (getState) in the same run; 1 if it is longer than is aimed at, which "
        "says something on a machine that has nothing else to do.",
    )
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> int:
    """Print the table; 1 if a figure is above what is aimed at."""
    missed = 0
    print(
        f"{'workers':>7}{'READYs':>8}{'p10':>11}{'median':>11}{'p99':>11}{'getState':>12}{'ratio':>8}"
        f"{'load average':>15}"
    )
    for workers, (rollouts, most_ms) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            notes, calls = Path(folder, "notes"), list[float]()
            conf = NOTES % {"notes": notes}
            with Site(Program(workers=workers, gunicorn="27.0.1", conf=conf)) as site:
                notes.write_text("")
                for _ in range(rollouts):
                    site.ctl("rollrestart", "--max-surge", "1", "web", deadline_secs=300)
                    calls += [_ms_of_a_call(site) for _ in range(20)]
                delays = _delays(notes.read_text())
        median, hundredths = statistics.median(delays), statistics.quantiles(delays, n=100)
        p10, p99 = hundredths[9], hundredths[98]
        call = statistics.median(calls)
        missed += median > most_ms or p99 > MOST_P99_MS
        print(
            f"{workers:>7}{len(delays):>8}{p10:>8.2f} ms{median:>8.2f} ms{p99:>8.2f} ms"
            f"{call:>9.2f} ms{median / call:>8.1f}{os.getloadavg()[0]:>15.1f}",
            flush=True,
        )
    return 1 if missed else 0


def _delays(notes: str) -> list[float]:
    """From each READY to the next signal, in ms."""
    events = sorted((float(when), what) for what, when in map(str.split, notes.splitlines()))
    return [
        (heard - said) * 1000
        for (said, one), (heard, other) in itertools.pairwise(events)
        if (one, other) == ("said", "heard")
    ]


def _ms_of_a_call(site: Site) -> float:
    began = time.monotonic()
    site.rpc.supervisor.getState()
    return (time.monotonic() - began) * 1000
