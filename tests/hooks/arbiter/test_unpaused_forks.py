"""A rollout's forks do not wait for the pause that Gunicorn makes after each of its own."""

from __future__ import annotations

import signal

import pytest

from supervisor_roll.wire.messages import Booting, Counted
from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, Gunicorn, Site

# Gunicorn's pauses are noted in the file that is formatted in.
NOTING = """
import sys, time
_sleep = time.sleep
def _noting(secs):
    if sys._getframe(1).f_code.co_name == "spawn_workers":
        with open({!r}, "a") as _file:
            _file.write("paused\\n")
    _sleep(secs)
time.sleep = _noting
"""


def start(site: Site, version: str, name: str, workers: int, extra: str = "") -> Gunicorn:
    configuration = f"bind = 'unix:{site.folder}/http'\nworkers = {workers}\n{extra}{HOOKS}"
    successor_of = site.gunicorns[-1].pid if site.gunicorns else None
    (site.folder / name).touch()
    return site.start(
        version, NOTING.format(name) + configuration, name=f"{name}_conf", successor_of=successor_of
    ).wait_ready(workers)


def pauses(site: Site, name: str) -> int:
    return len((site.folder / name).read_text().splitlines())


def test_each_ttin_forks_one_worker_at_once(site: Site, version: str) -> None:
    gunicorn = start(site, version, "first", 2)
    assert pauses(site, "first") == 2  # as at any start
    for count in range(3, 35):
        gunicorn.send(signal.SIGTTIN)
        wait_until(
            lambda count=count: (
                [one.workers for one in site.listener.said(Counted, gunicorn.pid)][-1:] == [count]
            ),
            DEADLINE_SECS,
            f"a count of {count}",
        )
    gunicorn.wait_ready(34)
    assert len(site.listener.said(Booting)) == 34
    assert [one.surplus for one in site.listener.said(Booting)] == [False] * 2 + [True] * 32
    assert pauses(site, "first") == 2
    assert gunicorn.end() == 0


def test_hup_that_raises_the_count_forks_no_more_than_configured(site: Site, version: str) -> None:
    gunicorn = start(site, version, "first", 2)
    before = gunicorn.workers()
    conf = site.folder / "first_conf.py"
    conf.write_text(conf.read_text().replace("workers = 2", "workers = 5"))
    gunicorn.send(signal.SIGHUP)
    wait_until(
        lambda: len(gunicorn.workers()) == 5 and not set(before) & set(gunicorn.workers()),
        DEADLINE_SECS,
        "five others",
    )
    assert len(site.listener.said(Booting)) == 2 + 5
    assert {one.surplus for one in site.listener.said(Booting)} == {False}
    assert gunicorn.end() == 0


@pytest.mark.parametrize("preload", [False, True])
def test_a_successor_forks_all_its_workers_at_once(site: Site, version: str, preload: bool) -> None:
    extra = f"preload_app = {preload}\n"
    start(site, version, "first", 2, extra)
    successor = start(site, version, "second", 4, extra)
    assert (pauses(site, "first"), pauses(site, "second")) == (2, 0)
    successor.send(signal.SIGKILL)
