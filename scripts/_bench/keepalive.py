"""Workers are stopped under keep-alive clients: which requests are lost, and what hooks save."""

from __future__ import annotations

import argparse
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

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


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "keepalive",
        help="requests lost when workers are stopped, without the hooks and with them",
        description="TERM one worker after the other under keep-alive clients that do not look "
        "whether the server has closed their connection, and clients that open one for each "
        "request. Count the requests that get no answer.",
    )
    parser.add_argument("--kills", type=int, default=20, help="for each figure (%(default)s)")
    parser.add_argument(
        "--rate",
        type=float,
        default=100.0,
        help="keep-alive requests a second (%(default)s); a quarter of it fresh",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only rows that contain TEXT, such as gthread or 27.0.1",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 if a request was lost with the hooks."""
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
