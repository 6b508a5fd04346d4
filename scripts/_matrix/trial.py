"""One cell's trial, with the Python, the Gunicorn and the supervisor that this runs with.

Prints what did not hold, a line each.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness import Program, Site, steady

WORKERS = 2


def tried(site: Site) -> list[str]:
    """Roll a release by each strategy, and one that cannot boot; what did not hold."""
    broken = []
    with site.observe_all("web") as seen, steady(load := site.load("web", rate=25)):
        for strategy in ("workers", "arbiter"):
            site.deploy(strategy)
            ran = site.ctl("rollrestart", "--strategy", strategy, "web")
            if ran.status:
                broken.append(f"strategy {strategy}: exit status {ran.status}: {ran.output}")
        site.deploy("bad", boot="raise")
        ran = site.ctl("rollrestart", "web")
        if ran.status != 1 or "lacks a module" not in ran.output:
            broken.append(f"a release that cannot boot: status {ran.status}: {ran.output}")
        after = site.wait_ready("web", WORKERS)
    summary = load.so_far()
    if summary.failed:
        broken.append(f"{len(summary.failed)} requests failed: {dict(summary.errors)}")
    if not {"workers", "arbiter"} <= summary.answered.keys():
        broken.append(f"releases that answered: {sorted(summary.answered)}")
    if seen.min_ready < WORKERS or len(after.children) != WORKERS:
        broken.append(f"{seen.min_ready} of {WORKERS} were ready, {len(after.children)} at the end")
    return broken


def main() -> None:
    site = Site(Program(workers=WORKERS, boot_secs=0.1))
    try:
        broken = tried(site.start(60))
    except AssertionError as error:
        broken = [f"{error}\n{site.log_tails()}"]
    finally:
        site.stop()
        site.remove()
    print("\n".join(broken), end="")


if __name__ == "__main__":
    main()
