"""Roll real programs over and over, and judge what supervisord and the listener keep of it.

One supervisord, its programs, and a steady load on the first of them. Each round rolls all
programs, the strategies in turn.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from footprint import HEADER, Footprint, footprint, slope
from prober import Prober

from tests.harness import Program, Site, Summary, free_port, wait_until
from tests.harness.told_to_go import exit_when_told

STRATEGIES = ("workers", "arbiter")
#: What must hold: in MiB, of supervisord in all and of the listener in the second half, and in ms.
MOST_GROWTH, MOST_P99 = 1.0, 10.0
#: How often supervisord is asked before it has anything to do.
IDLE_ANSWERS = 100
_TRACE = (
    "[rpcinterface:trace]\nsupervisor.rpcinterface_factory = scripts._soak.in_supervisord:make\n"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1000, help="in all (%(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="after so many it stops (%(default)g)"
    )
    parser.add_argument("--programs", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="of each program (%(default)s)")
    parser.add_argument(
        "--parallel", type=int, default=os.cpu_count() or 1, help="at once (%(default)s, the cores)"
    )
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second (%(default)g)")
    parser.add_argument(
        "--trace", action="store_true", help="tell what Python holds in supervisord, and where"
    )
    options = parser.parse_args()
    exit_when_told()
    programs = [
        Program(f"web{number}", workers=options.workers, port=free_port())
        for number in range(options.programs)
    ]
    site = Site(*programs)
    try:
        if options.trace:
            site.write_conf("trace", _TRACE)
        site.start(60 + 2 * options.programs)
        return _soak(site, options)
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130
    finally:
        site.stop()
        site.remove()


def _soak(site: Site, options: argparse.Namespace) -> int:
    minutes = options.minutes
    soak = _Soak(site)
    with site.load(soak.first, rate=options.rate, max_secs=60 * minutes + 600) as load:
        wait_until(lambda: load.answered_by("v1") > 10, 30, "requests are answered")
        if options.trace:
            site.rpc.trace.start()
        end = time.monotonic() + 60 * minutes
        with Prober(site.rpc) as prober:
            wait_until(lambda: prober.answers >= IDLE_ANSWERS, 60, "getState is answered")
            soak.look()
            for strategy in itertools.cycle(STRATEGIES):
                soak.roll(strategy, options.parallel, options.rollouts - soak.rollouts)
                soak.look()
                if soak.rollouts >= options.rollouts or time.monotonic() > end or soak.hopeless:
                    break
        summary = load.stop()
    if options.trace:
        print(site.rpc.trace.growth())
    return soak.judged(summary, prober, options.rollouts)


class _Soak:
    """What has been rolled so far, and what was seen of the processes after each round."""

    def __init__(self, site: Site) -> None:
        self.first = next(iter(site.programs))
        self.rollouts = 0
        self._site = site
        self._not_complete: list[str] = []
        self._began = time.monotonic()
        self._seen: list[tuple[int, dict[str, Footprint]]] = []

    @property
    def hopeless(self) -> bool:
        return len(self._not_complete) > 5

    def roll(self, strategy: str, at_once: int, most: int) -> None:
        """Roll each program once, ``at_once`` at a time, but no more than ``most`` of them."""
        names = list(self._site.programs)[:most]
        options = ("--strategy", strategy, "--parallel", str(at_once))
        ran = self._site.ctl("rollrestart", *options, *names, deadline_secs=120 + 30 * len(names))
        if ran.status:
            self._not_complete.append(ran.output)
        self.rollouts += len(names)

    def look(self) -> None:
        """Note what the processes have now, or a moment later where some are about to end."""
        deadline = time.monotonic() + 5
        found = self._look()
        while self._more(found) and time.monotonic() < deadline:
            time.sleep(0.1)
            found = self._look()
        self._seen.append((self.rollouts, found))

    def _more(self, found: dict[str, Footprint]) -> list[str]:
        """What there is more of than at first."""
        first = self._seen[0][1] if self._seen else found
        return [
            f"{who} has {after} {what}, and had {before}"
            for who, one in found.items()
            for what in ("fds", "threads", "zombies")
            if (after := getattr(one, what)) > (before := getattr(first[who], what))
        ]

    def _look(self) -> dict[str, Footprint]:
        site = self._site
        return {
            "listener": footprint(site.listener_pid),
            "supervisord": footprint(site.supervisord_pid),
            "arbiter": footprint(site.pid(self.first)),
        }

    def judged(self, load: Summary, prober: Prober, wanted: int) -> int:
        """Print what was seen, and each bound that is broken; 1 if there is one."""
        early = "" if self.rollouts >= wanted else f" of {wanted}"
        secs = time.monotonic() - self._began
        print(
            f"{self.rollouts}{early} rollouts of {len(self._site.programs)} programs in "
            f"{secs / 60:.1f} min, load average {os.getloadavg()[1]:.1f}\n\n"
            f"{'MiB':<13}{'rollouts':>9}{HEADER}"
        )
        seen = [self._seen[0], self._seen[len(self._seen) // 2], self._seen[-1]]
        for who in seen[0][1]:
            for rollouts, found in seen:
                print(f"{who:<13}{rollouts:>9}{found[who]}")
        later = self._seen[len(self._seen) // 2 :]
        slopes = {
            who: 1024 * slope([(rollouts, found[who].uss) for rollouts, found in later])
            for who in seen[0][1]
        }
        print("\nKiB a rollout in the second half:", end=" ")
        print(", ".join(f"{who} {kib:+.2f}" for who, kib in slopes.items()))
        computed = {
            who: seen[-1][1][who].cpu_secs - seen[0][1][who].cpu_secs
            for who in ("listener", "supervisord")
        }
        print("CPU ms a rollout:", end=" ")
        print(", ".join(f"{who} {1e3 * s / self.rollouts:.1f}" for who, s in computed.items()))
        print(
            f"requests: {len(load.requests)}, {len(load.failed)} failed; longest wait "
            f"{1000 * load.longest_wait_secs:.0f} ms\n"
            f"getState, median, p99 and longest: {_milliseconds(prober, IDLE_ANSWERS)}; before any "
            f"rollout {_milliseconds(prober, 0, IDLE_ANSWERS)}"
        )
        broken = [*self._broken(), *(f"a request failed: {one}" for one in load.errors)]
        if prober.percentile_ms(99, IDLE_ANSWERS) > MOST_P99:
            broken.append(f"getState took more than {MOST_P99:g} ms (p99)")
        print("\n".join(f"BROKEN: {one}" for one in broken) or "all bounds are kept")
        return 1 if broken else 0

    def _broken(self) -> Iterator[str]:
        yield from (f"a rollout was not complete:\n{one}" for one in self._not_complete)
        first, middle = (self._seen[at][1] for at in (0, len(self._seen) // 2))
        for who, since in (("supervisord", first), ("listener", middle)):
            # What it has kept: what it gives back by the next look was for the moment alone.
            grown = min(found[who].uss for _, found in self._seen[-3:]) - since[who].uss
            if grown > MOST_GROWTH:
                yield f"{who} has grown by {grown:.2f} MiB, more than {MOST_GROWTH:g}"
        yield from self._more(self._seen[-1][1])


def _milliseconds(prober: Prober, since: int, until: int | None = None) -> str:
    percentiles = (prober.percentile_ms(percent, since, until) for percent in (50, 99, 100))
    return ", ".join(f"{one:.1f}" for one in percentiles) + " ms"


if __name__ == "__main__":
    sys.exit(main())
