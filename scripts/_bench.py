"""Measure the requests that are lost and saved, and the time that the hooks take of each."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _bench_update

from supervisor_roll.hooks.drain import asyncio_workers, lame_duck
from supervisor_roll.hooks.shared_memory import ArbiterPage
from supervisor_roll.hooks.worker import bake_watch
from tests.harness import Program, Site, free_port, wait_until

WORKERS = 2
CLIENTS = 16
#: Clients let an idle connection be when it is older; Gunicorn itself closes it after 2 s.
TRUST_SECS = 1.5
UVICORN = "uvicorn_worker.UvicornWorker"
#: Worker class, application, version of Gunicorn.
CASES = [
    ("sync", "plain:app", "27.0.1"),
    ("gthread", "plain:app", "20.1.0"),
    ("gthread", "plain:app", "21.2.0"),
    ("gthread", "plain:app", "23.0.0"),
    ("gthread", "plain:app", "25.3.0"),
    ("gthread", "plain:app", "27.0.1"),
    ("gevent", "plain:app", "23.0.0"),
    ("gevent", "plain:app", "27.0.1"),
    ("asgi", "asgi_app:app", "26.2.0"),
    ("asgi", "asgi_app:app", "27.0.1"),
    ("tornado", "plain:app", "27.0.1"),
    ("tornado", "tornado_app:app", "23.0.0"),
    ("tornado", "tornado_app:app", "27.0.1"),
    (UVICORN, "asgi_app:app", "23.0.0"),
    (UVICORN, "asgi_app:app", "27.0.1"),
]


@dataclass(frozen=True)
class Outcome:
    """What became of the requests of one case, and how long a worker took to leave."""

    requests: int
    lost_kept: int
    lost_fresh: int
    longest_drain_secs: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keepalive = commands.add_parser(
        "keepalive",
        help="requests lost when workers are stopped, without the hooks and with them",
        description="TERM one worker after the other under keep-alive clients that do not look "
        "whether the server has closed their connection, and clients that open one for each "
        "request. Count the requests that get no answer.",
    )
    keepalive.add_argument("--kills", type=int, default=20, help="for each figure (%(default)s)")
    keepalive.add_argument(
        "--rate",
        type=float,
        default=100.0,
        help="keep-alive requests a second (%(default)s); a quarter of it fresh",
    )
    keepalive.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only rows that contain TEXT, such as gthread or 27.0.1",
    )
    keepalive.set_defaults(run=_keepalive)
    overhead = commands.add_parser(
        "overhead", help="time that the hooks take of each request while no worker is stopped"
    )
    overhead.set_defaults(run=_overhead)
    update = commands.add_parser(
        "update",
        help="requests that a changed environment variable costs: update, restart and rollrestart",
    )
    update.add_argument(
        "--boot-secs", type=float, default=1.5, help="how long a worker takes to boot (%(default)s)"
    )
    update.add_argument("--rate", type=float, default=100.0, help="requests a second (%(default)s)")
    update.set_defaults(run=_bench_update.run)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130


# ---- keepalive ----


def _keepalive(options: argparse.Namespace) -> int:
    print(
        f"{options.kills} kills for each figure, {WORKERS} workers, {CLIENTS} keep-alive "
        f"clients at {options.rate:g} requests a second in all\n"
        f"lost requests: on kept-alive + on fresh connections\n\n"
        f"{'worker class':<32}{'Gunicorn':<10}{'without hooks':>15}{'with hooks':>13}"
        f"{'of':>8}{'drain without, with':>22}",
        flush=True,
    )
    lost = 0
    for worker_class, app, version in CASES:
        row = f"{worker_class}{' (native)' if app.startswith('tornado') else ''}"
        if options.only not in f"{row} {version}":
            continue
        without, with_hooks = (
            _kill_workers(worker_class, app, version, hooks, options) for hooks in (False, True)
        )
        lost += with_hooks.lost_kept + with_hooks.lost_fresh
        print(
            f"{row:<32}{version:<10}"
            f"{without.lost_kept:>9} + {without.lost_fresh:<3}"
            f"{with_hooks.lost_kept:>9} + {with_hooks.lost_fresh:<3}{with_hooks.requests:>6}"
            f"{without.longest_drain_secs:>13.1f} s,{with_hooks.longest_drain_secs:>4.1f} s",
            flush=True,
        )
    return 1 if lost else 0


def _kill_workers(
    worker_class: str, app: str, gunicorn: str, hooks: bool, options: argparse.Namespace
) -> Outcome:
    program = Program(
        workers=WORKERS,
        worker_class=worker_class,
        app=app,
        port=free_port(),
        hooks=hooks,
        gunicorn=gunicorn,
        conf="threads = 4",
    )
    site = Site(program, roll=False)
    drains = []
    try:
        site.start()
        kept_alive = {"keep_alive": True, "connections": CLIENTS, "trust_secs": TRUST_SECS}
        max_secs = 60.0 + 60 * options.kills
        with (
            site.load("web", rate=options.rate, max_secs=max_secs, **kept_alive) as kept,
            site.load("web", rate=options.rate / 4, max_secs=max_secs) as fresh,
        ):
            wait_until(lambda: kept.answered_by("v1") >= options.rate, 30, "requests are answered")
            drains = [_kill_worker(site) for _ in range(options.kills)]
            summaries = kept.stop(), fresh.stop()
    finally:
        site.stop()
        site.remove()
    lost_kept, lost_fresh = (len(summary.failed) for summary in summaries)
    requests = sum(len(summary.requests) for summary in summaries)
    return Outcome(requests, lost_kept, lost_fresh, max(drains))


def _kill_worker(site: Site) -> float:
    """TERM the oldest worker and wait for its replacement; how long it took to leave."""
    victim = min(site.workers("web").ready)
    began = time.monotonic()
    os.kill(victim, signal.SIGTERM)
    wait_until(lambda: victim not in site.workers("web").children, 60, f"worker {victim} leaves")
    drain_secs = time.monotonic() - began
    site.wait_ready("web", WORKERS, 60)
    return drain_secs


# ---- overhead ----

_CALLS = 200_000


def _overhead(_options: argparse.Namespace) -> int:
    cfg = SimpleNamespace(keepalive=2, graceful_timeout=30)
    worker = SimpleNamespace(cfg=cfg)
    drain = lame_duck.LameDuck(worker, SimpleNamespace())

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        pass

    bare, wrapped = (
        min(asyncio.run(_nanoseconds_a_call(one)) for _ in range(5))
        for one in (app, asyncio_workers.asking(drain, asyncio_workers.Calls().counting(app)))
    )
    beat = _nanoseconds_a_beat()
    print(
        "Of our hooks, what is in the way of a request while no rollout runs:\n\n"
        f"  sync                               {beat:4.0f} ns (its heartbeat, which it makes for "
        "each)\n"
        f"  asgi                               {wrapped - bare:4.0f} ns (a call around the "
        "application)\n"
        "  gthread, gevent, tornado, uvicorn  nothing: no code of ours is called"
    )
    return 0


def _nanoseconds_a_beat() -> float:
    """What the hooks add to a heartbeat once the worker's ready is acknowledged."""
    page = ArbiterPage()
    reporter: Any = SimpleNamespace(arbiter=page, leaving=False)

    def notify() -> None:
        pass

    costs = []
    for one in (notify, bake_watch.BakeWatch(reporter, None, None, 0.0).wrapped(notify)):
        times = []
        for _ in range(5):
            began = time.perf_counter_ns()
            for _ in range(_CALLS):
                one()
            times.append((time.perf_counter_ns() - began) / _CALLS)
        costs.append(min(times))
    return costs[1] - costs[0]


async def _nanoseconds_a_call(app: Callable[..., Awaitable[None]]) -> float:
    scope = {"type": "http", "http_version": "1.1"}
    began = time.perf_counter_ns()
    for _ in range(_CALLS):
        await app(scope, None, None)
    return (time.perf_counter_ns() - began) / _CALLS


if __name__ == "__main__":
    sys.exit(main())
