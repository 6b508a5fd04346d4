"""What the hooks take of each request while no worker is stopped, and of each boot."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import boots

from supervisor_roll.hooks.drain import asyncio_workers, lame_duck
from supervisor_roll.hooks.shared_memory import ArbiterPage
from supervisor_roll.hooks.worker import bake_watch

_CALLS = 200_000


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "overhead", help="time that the hooks take of each request and each boot, and memory"
    )
    parser.add_argument("--boots", type=int, default=20, help="for each figure (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what is called of ours, and how long it takes."""
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
    print()
    boots.print_table(options.boots)
    return 0


def _nanoseconds_a_beat() -> float:
    """What the hooks add to a heartbeat once the worker's ready is acknowledged."""
    page = ArbiterPage()
    reporter: Any = SimpleNamespace(arbiter=page, leaving=False)
    recycling: Any = SimpleNamespace(look=lambda now: None)  # as of a worker without a limit
    watch = bake_watch.BakeWatch(reporter, None, None, recycling, 0.0)

    def notify() -> None:
        pass

    costs = []
    for one in (notify, watch.wrapped(notify)):
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
