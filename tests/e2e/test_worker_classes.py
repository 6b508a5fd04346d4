"""Each worker class is rolled without a failed request, is ready only when it can serve, and is
checked before it serves anybody.

The programs of one site are rolled side by side, one for each class of one Gunicorn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from tests.harness import Load, MakeSite, Program, Ran, Site, patience, wait_until

WORKERS = 2
STARTUP_SECS = 1.0

# By the programs' names: the worker class and its application.
WSGI = {
    "sync": ("sync", "plain:app"),
    "gthread": ("gthread", "plain:app"),
    "gevent": ("gevent", "plain:app"),
    "tornado": ("tornado", "plain:app"),
}
NATIVE = {"native": ("tornado", "tornado_app:app")}
ASGI = {
    "asgi": ("asgi", "lifespan_app:app"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "lifespan_app:app"),
    # Of uvicorn itself, which says that it is deprecated, and can be had for any Gunicorn.
    "uvicorns": ("uvicorn.workers.UvicornWorker", "lifespan_app:app"),
}
# Up to 20.1 Gunicorn wraps a native Tornado application as if it were WSGI: each request fails.
# Its own asgi worker came with 24. uvicorn-worker's version for 20.1 needs an older uvicorn.
EXISTING = {"20.1.0": [*WSGI, "uvicorns"], "27.0.1": [*WSGI, *NATIVE, "asgi", "uvicorn"]}


def programs(version: str, names: list[str]) -> list[Program]:
    classes = WSGI | NATIVE | ASGI
    return [
        Program(
            name=name,
            worker_class=classes[name][0],
            app=classes[name][1],
            workers=WORKERS,
            gunicorn=version,
            # Gunicorn's control socket is one for a user, not for a program.
            conf="threads = 4" if name == "gthread" else "control_socket_disable = True",
            roll={"health": "/_status"},
        )
        for name in names
    ]


def add_release(site: Site, name: str, *, status: int = 200, **lifespan: object) -> None:
    folder = site.add_release(name, status=status)
    (folder / "lifespan.json").write_text(json.dumps(lifespan))


@contextmanager
def loads(site: Site, names: list[str]) -> Iterator[dict[str, Load]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(site.load(name, rate=20)) for name in names}


def roll_all(site: Site, names: list[str], *options: str) -> dict[str, Ran]:
    commands = {name: site.ctl_start("rollrestart", *options, name) for name in names}
    return {name: command.wait() for name, command in commands.items()}


@pytest.mark.parametrize("version", EXISTING)
def test_each_class_is_rolled_and_a_sick_release_answers_nobody(
    make_site: MakeSite, version: str
) -> None:
    names = EXISTING[version]
    site = make_site(*programs(version, names))
    add_release(site, "v2", secs=STARTUP_SECS)
    add_release(site, "sick", status=503)
    with loads(site, names) as load:
        site.deploy("v2")
        ran = roll_all(site, names)
        for name in names:
            assert ran[name].status == 0, (name, ran[name].output)
            assert ran[name].output.count("health 200 OK") == WORKERS, (name, ran[name].output)
        before = {name: site.workers(name).children for name in names}
        site.deploy("sick")
        ran = roll_all(site, names, f"--ready-timeout={patience():.1f}")
        for name in names:
            wait_until(lambda n=name: load[n].answered_by("v2") > 20, 15, f"{name} goes on")
        summaries = {name: load[name].stop() for name in names}
    for name in names:
        assert ran[name].status == 1, (name, ran[name].output)
        assert "503" in ran[name].output, (name, ran[name].output)
        assert site.wait_ready(name, WORKERS).children == before[name], name
    assert not {name: str(one) for name, one in summaries.items() if one.failed}
    for name, one in summaries.items():
        assert one.answered.keys() == {"v1", "v2"}, (name, str(one))


def test_a_lifespan_start_up_that_fails_fails_the_rollout_with_its_message(
    make_site: MakeSite,
) -> None:
    # Gunicorn 24 to 26 serve, by themselves, an application that says that its start-up failed.
    (serving,) = programs("26.2.0", ["asgi"])
    served = [replace(serving, name="asgi26"), *programs("27.0.1", ["asgi", "uvicorn"])]
    names = [program.name for program in served]
    site = make_site(*served)
    add_release(site, "broken", end="failed", secs=0.2)
    add_release(site, "without", end="raise")
    add_release(site, "sick", end="raise", status=503)
    before = {name: site.workers(name).children for name in names}
    arbiters = {name: site.pid(name) for name in names}
    with loads(site, names) as load:
        site.deploy("broken")
        for name, ran in roll_all(site, names).items():
            assert ran.status == 1, ran.output
            assert "the database is not there" in ran.output
            assert site.wait_ready(name, WORKERS).children == before[name], name
        # One that knows no lifespan is none that failed.
        site.deploy("without")
        for ran in roll_all(site, names).values():
            assert ran.status == 0, ran.output
            assert ran.output.count("health 200 OK") == WORKERS, ran.output
        site.deploy("sick")
        for ran in roll_all(site, names, f"--ready-timeout={patience():.1f}").values():
            assert ran.status == 1, ran.output
            assert "503" in ran.output, ran.output
        summaries = {name: load[name].stop() for name in names}
    assert {name: site.pid(name) for name in names} == arbiters
    assert not {name: str(one) for name, one in summaries.items() if one.failed}
    assert all(one.answered.keys() == {"v1", "without"} for one in summaries.values())
