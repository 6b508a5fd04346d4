"""Try faults under load, and judge whether what is promised held.

Each fault has a site of its own: a supervisord with a Gunicorn of 3 workers, and 25 requests a
second. When the fault is over, a good release must still be rolled out completely.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import at_boot
import by_operators
import by_strangers
import of_processes
import of_the_socket
import of_the_system
from ground import FAULTS, Fault, Ground, NotHere, Outcome

from tests.harness.told_to_go import exit_when_told

_ALL = (of_the_socket, at_boot, of_processes, by_operators, by_strangers, of_the_system)
HELD, BROKEN, SKIPPED = "HELD", "BROKEN", "not here"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the faults, and try none")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="faults with NAME in theirs; may be repeated",
    )
    parser.add_argument("--strategy", help="workers or arbiter alone")
    parser.add_argument(
        "--seed", type=int, default=1, help="of what is chosen by chance (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=3, help="faults at once (%(default)s)")
    options = parser.parse_args()
    chosen = [
        one
        for one in FAULTS
        if (not options.only or any(name in one.name for name in options.only))
        and options.strategy in (None, one.strategy)
    ]
    if not chosen:
        parser.error("no fault has such a name; see --list")
    if options.list:
        print("\n".join(f"{one.name:<42}{one.strategy}" for one in chosen))
        return 0
    exit_when_told()
    return _try_all(chosen, options.seed, options.jobs)


def _try_all(chosen: list[Fault], seed: int, jobs: int) -> int:
    print(
        f"seed {seed}\n{'fault':<42}{'strategy':<10}{'failed':>8} of{'':<6}{'least ready':<13}"
        f"{'count':<10}{'secs':>5}  verdict",
        flush=True,
    )
    broken, running = 0, list[Ground]()

    def tried(one: Fault) -> tuple[str, Outcome | None, list[str], float]:
        began = time.monotonic()
        ground = Ground(one.strategy, seed)
        running.append(ground)
        try:
            outcome = ground.tried(one.make)
            verdict = BROKEN if outcome.broken else HELD
            return verdict, outcome, outcome.broken, time.monotonic() - began
        except NotHere as error:
            return SKIPPED, None, [str(error)], time.monotonic() - began
        except Exception:  # noqa: BLE001 -- one fault must not end the campaign
            return BROKEN, None, [traceback.format_exc()], time.monotonic() - began
        finally:
            running.remove(ground)

    pool = ThreadPoolExecutor(jobs)
    try:
        futures = {pool.submit(tried, one): one for one in chosen}
        for future in as_completed(futures):
            one = futures[future]
            verdict, outcome, notes, secs = future.result()
            broken += verdict == BROKEN
            _tell(one, verdict, outcome, notes, secs)
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for ground in list(running):
            ground.close()
    print(f"{len(chosen)} tried, {broken} BROKEN")
    return 1 if broken else 0


def _tell(one: Fault, verdict: str, found: Outcome | None, notes: list[str], secs: float) -> None:
    figures = (
        f"{found.failed:>8} of {found.requests:<6}{found.least_ready:<13}"
        f"{f'{found.before} -> {found.after}':<10}"
        if found
        else f"{'':<41}"
    )
    print(f"{one.name:<42}{one.strategy:<10}{figures}{secs:>4.0f}  {verdict}", flush=True)
    for note in notes:
        print("".join(f"    {line}\n" for line in note.splitlines()), end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
