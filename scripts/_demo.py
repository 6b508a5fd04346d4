"""A rolling restart beside Gunicorn's own reload: the same application, the same load."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness import Observer, Program, Site, Summary, free_port
from tests.harness.told_to_go import exit_when_told

#: How long the old release, and then the new one, is seen under load before and after.
STEADY_SECS = 2.0


@dataclass(frozen=True)
class Options:
    workers: int
    boot_secs: float
    rate: float


@dataclass(frozen=True)
class Deployment:
    """What the clients, and the kernel, saw of one deployment."""

    title: str
    old: str
    new: str
    status: int
    took_secs: float
    load: Summary
    seen: Observer


def main() -> int:
    options = _options()
    exit_when_told()
    try:
        return _demonstrate(options)
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--workers", type=int, default=4, help="workers of the app (%(default)s)")
    parser.add_argument(
        "--boot-secs", type=float, default=3.0, help="how long one takes to boot (%(default)s)"
    )
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second (%(default)s)")
    return Options(**vars(parser.parse_args()))


def _demonstrate(options: Options) -> int:
    _say(
        f"Gunicorn {version('gunicorn')} under supervisord {version('supervisor')}: "
        f"{options.workers} workers, {options.boot_secs:g} s to boot,\n"
        f"{options.rate:g} requests a second. Two releases are deployed, each in its way.\n"
    )
    program = Program(
        name="demo", workers=options.workers, boot_secs=options.boot_secs, port=free_port()
    )
    site = Site(program)
    try:
        site.start(deadline_secs=60 + options.boot_secs)
        deployments = [
            _deploy(site, options, "v1", "v2", "rollrestart", "rollrestart", "demo"),
            _deploy(site, options, "v2", "v3", "signal HUP", "signal", "HUP", "demo"),
        ]
    except AssertionError as error:
        print(f"{error}\n{site.log_tails()}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave it half done
        site.stop()
        site.remove()
    _say(_table(deployments, options))
    return _verdict(deployments[0])


def _deploy(
    site: Site, options: Options, old: str, new: str, title: str, *command: str
) -> Deployment:
    """Deploy ``new`` by ``supervisorctl command``, and watch until no old worker is left."""
    site.add_release(new)
    before = site.workers("demo")
    deadline_secs = 30 + 4 * options.boot_secs * options.workers
    _say(f"$ ln -sfn releases/{new} current\n$ supervisorctl {' '.join(command)}")
    with site.load("demo", rate=options.rate) as load, site.observe("demo") as seen:
        time.sleep(STEADY_SECS)
        site.deploy(new)
        began = time.monotonic()
        # Its output goes to the terminal as it comes.
        status = subprocess.run(site.ctl_command(*command), timeout=deadline_secs).returncode
        if status == 0:
            site.wait_replaced("demo", before, deadline_secs)
        took_secs = time.monotonic() - began
        time.sleep(STEADY_SECS)
        summary = load.stop()
    _say("")
    return Deployment(title, old, new, status, took_secs, summary, seen)


def _table(deployments: list[Deployment], options: Options) -> str:
    rows: list[tuple[str, Callable[[Deployment], object]]] = [
        ("", lambda d: d.title),
        ("answered by the old release", lambda d: d.load.answered.get(d.old, 0)),
        ("answered by the new release", lambda d: d.load.answered.get(d.new, 0)),
        ("failed", lambda d: len(d.load.failed)),
        ("longest wait", lambda d: _duration(d.load.longest_wait_secs)),
        ("fewest workers ready", lambda d: f"{d.seen.min_ready} of {options.workers}"),
        ("most workers, draining too", lambda d: d.seen.max_children),
        ("whole deployment", lambda d: _duration(d.took_secs)),
    ]
    lines = [
        f"  {label:<30}" + "".join(f"{cell(d)!s:>16}" for d in deployments) for label, cell in rows
    ]
    lines.insert(1, "  " + "-" * (30 + 16 * len(deployments)))
    return "\n".join(lines)


def _duration(secs: float) -> str:
    return f"{secs * 1000:.0f} ms" if secs < 1 else f"{secs:.1f} s"


def _verdict(rolled: Deployment) -> int:
    """The exit status: 0 only if the rolling restart deployed the release and lost nothing."""
    faults = [f"{count} x {error}" for error, count in rolled.load.errors.items()]
    if rolled.status:
        faults.append(f"supervisorctl {rolled.title} exited {rolled.status}")
    if not rolled.load.answered.get(rolled.new):
        faults.append("the new release answered nothing")
    if not faults:
        return 0
    print("\nThe rolling restart did not hold its promise:", *faults, sep="\n  ", file=sys.stderr)
    return 1


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
