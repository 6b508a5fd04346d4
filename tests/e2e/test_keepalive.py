"""A worker that is told to stop serves on until its clients had time to reconnect: no request is
lost, not on a kept-alive connection either, whatever its class and whoever sends the TERM. It
is the same where its whole arbiter retires, because another one serves."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.harness import Load, MakeSite, Program, Site, free_port, patience, steady, wait_until

UVICORN = "uvicorn_worker.UvicornWorker"
#: Clients let an idle connection be when it is older; Gunicorn itself closes it after 2 s.
TRUST_SECS = 1.5
#: Longer than a worker serves on by our doing.
LONG_SECS = 4.0

# By the programs' names: worker class, application, Gunicorn, and whether it can serve others
# while it serves a long request.
PROGRAMS = {
    "gevent": ("gevent", "plain:app", "27.0.1", True),
    "gthread": ("gthread", "plain:app", "27.0.1", True),
    "gthread23": ("gthread", "plain:app", "23.0.0", True),
    "gthread20": ("gthread", "plain:app", "20.1.0", True),
    "asgi": ("asgi", "asgi_app:app", "27.0.1", True),
    "tornado": ("tornado", "plain:app", "27.0.1", False),
    "native": ("tornado", "tornado_app:app", "27.0.1", True),
    "uvicorn": (UVICORN, "asgi_app:app", "27.0.1", True),
    "sync20": ("sync", "plain:app", "20.1.0", False),
}
RETIRING = [("gthread23", "uvicorn", "native"), ("asgi", "gthread20", "sync20")]
#: How a site stops its programs is nothing to an arbiter that retires.
STOPS = {
    "sync20": {"stopsignal": "QUIT"},
    "asgi": {"stopsignal": "KILL", "stopasgroup": "true", "killasgroup": "true"},
    "gthread23": {"stopsignal": "INT", "stopwaitsecs": "1"},
    "uvicorn": {"stopsignal": "QUIT", "stopwaitsecs": "1", "killasgroup": "true"},
}


def program(name: str, conf: str = "", **options: Any) -> Program:
    worker_class, app, version, _ = PROGRAMS[name]
    return Program(
        name=name,
        worker_class=worker_class,
        app=app,
        gunicorn=version,
        port=free_port(),
        conf=f"control_socket_disable = True\nthreads = {8 if 'gthread' in name else 1}\n{conf}",
        **options,
    )


@contextmanager
def none_lost(site: Site, connections: int) -> Iterator[None]:
    """Every kind of request at each program, while the body runs; none of them fails."""
    kept_alive = {"keep_alive": True, "connections": connections, "trust_secs": TRUST_SECS}
    loads: dict[str, list[Load]] = {}
    with ExitStack() as stack:
        for name in site.programs:
            some = [site.load(name, rate=connections, **kept_alive), site.load(name, rate=2)]
            if PROGRAMS[name][3]:
                some.append(site.load(name, rate=0.4, path=f"/slow?secs={LONG_SECS}", **kept_alive))
            loads[name] = [stack.enter_context(load) for load in some]
        wait_until(
            lambda: all(load.answered_by("v1") for some in loads.values() for load in some),
            30,
            "every kind of request is answered",
        )
        yield
        summaries = {name: [load.stop() for load in some] for name, some in loads.items()}
    assert not [
        (name, str(summary))
        for name, some in summaries.items()
        for summary in some
        if summary.failed
    ]


def term_oldest(site: Site, name: str) -> int:
    oldest = min(site.workers(name).ready)
    os.kill(oldest, signal.SIGTERM)
    return oldest


def term_each(site: Site, names: list[str], kills: int) -> None:
    """In each program TERM a worker, wait for its replacement, and so on; side by side."""
    left = dict.fromkeys(names, kills)
    victims: dict[str, int] = {}

    def all_replaced() -> bool:
        for name in names:
            sample = site.workers(name)
            settled = victims.get(name) not in sample.children and (
                len(sample.ready) == len(sample.children) == site.programs[name].workers
            )
            if settled and left[name]:
                left[name] -= 1
                victims[name] = term_oldest(site, name)
            elif settled:
                victims.pop(name, None)
        return not victims

    wait_until(all_replaced, 15.0 + 15 * kills, f"{kills} workers of each program are replaced")


def test_workers_that_are_stopped_lose_no_request(make_site: MakeSite) -> None:
    site = make_site(*(program(name, workers=2) for name in PROGRAMS), roll=False)
    with none_lost(site, connections=16):
        term_each(site, list(PROGRAMS), kills=2)


def test_arbiters_that_retire_lose_no_request(make_site: MakeSite) -> None:
    """Not a long one either, where ``graceful_timeout`` is shorter."""
    names = [name for some in RETIRING for name in some]
    options = {"workers": 1, "roll": {"strategy": "arbiter"}}
    programs = [
        program(name, "graceful_timeout = 2", section=STOPS.get(name, {}), **options)
        for name in names
    ]
    site = make_site(*programs, start=False).start(90)  # there are many
    with none_lost(site, connections=8):
        for side_by_side in RETIRING:
            commands = [site.ctl_start("rollrestart", name) for name in side_by_side]
            for command in commands:
                command.ends(deadline_secs=120)


def test_connections_wait_for_the_successor_of_a_single_worker(make_site: MakeSite) -> None:
    site = make_site(program("gthread23", workers=1), roll=False)
    with steady(load := site.load("gthread23", rate=30), after=0):
        term_each(site, ["gthread23"], kills=2)
    assert not load.so_far().failed, load.so_far()


def test_a_program_that_is_stopped_is_gone_at_once(make_site: MakeSite) -> None:
    """Its workers' clients cannot reconnect anywhere, so that nobody waits for them."""
    programs = [program(name, "keepalive = 60", workers=1) for name in ("uvicorn", "gthread23")]
    site = make_site(*programs, roll=False)
    for name in site.programs:
        idle = http.client.HTTPConnection("127.0.0.1", int(site.address(name)))
        idle.request("GET", "/")
        assert idle.getresponse().read()
        began = time.monotonic()
        assert site.rpc.supervisor.stopProcess(name)
        assert time.monotonic() - began < 2.5 * patience()  # else it were 10 s
        idle.close()
