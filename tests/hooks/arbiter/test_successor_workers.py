"""A successor begins with as many workers as it is told, and is an arbiter as any other then."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from supervisor_roll.wire.messages import Booting, Counted, Ready
from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, Site, answering, ask


def configured(site: Site, extra: str = "") -> str:
    return f"bind = 'unix:{site.folder}/http'\nworkers = 2\n{extra}{HOOKS}"


def test_it_begins_with_one_worker_and_grows_by_ttin(site: Site, version: str) -> None:
    """One more than the one is not taken for an operator's surplus, and its count is the truth."""
    old = site.start(version, configured(site)).wait_ready(2)
    site.listener.starting["workers"] = 1
    successor = site.start(version, configured(site), successor_of=old.pid).wait_ready()
    assert not site.listener.said(Counted, successor.pid)
    (first,) = successor.workers()
    (booting,) = site.listener.said(Booting, first)
    assert (booting.workers, booting.surplus) == (1, False)
    successor.send(signal.SIGTTIN)
    successor.wait_ready(2)
    (counted,) = site.listener.said(Counted, successor.pid)
    assert counted.workers == 2
    (second,) = set(successor.workers()) - {first}
    assert site.listener.said(Ready, second)[0].workers == 2
    # Acknowledged, they are workers to be replaced as any others.
    for pid in (first, second):
        Path(f"/proc/{pid}").stat()
        wait_until(lambda pid=pid: site.listener.said(Ready, pid), DEADLINE_SECS, "ready")


@pytest.mark.parametrize(("told", "begins"), [(3, 3), (0, 2), (-1, 2), (2, 2)])
def test_without_a_number_that_is_one_it_begins_as_configured(
    site: Site, version: str, told: int, begins: int
) -> None:
    old = site.start(version, configured(site)).wait_ready(2)
    site.listener.starting["workers"] = told
    successor = site.start(version, configured(site), successor_of=old.pid).wait_ready(begins)
    assert len(successor.workers()) == begins
    assert not site.listener.said(Counted, successor.pid)
    ready = [site.listener.said(Ready, pid)[0] for pid in successor.workers()]
    assert {one.workers for one in ready} == {begins}
    assert {one.surplus for one in ready} == {False}


def test_a_preloaded_application_is_the_successors_own(site: Site, version: str) -> None:
    old = site.start(version, configured(site, "preload_app = True\n")).wait_ready(2)
    app = site.folder / "app.py"
    app.write_text(app.read_text().replace("str(os.getppid())", "'new'"))
    successor = site.start(
        version, configured(site, "preload_app = True\n"), successor_of=old.pid
    ).wait_ready(2)
    assert old.end() == 0
    assert ask(f"unix:{site.folder}/http") == "new"
    assert successor.end() == 0


def test_a_new_environment_is_the_successors_own(site: Site, version: str) -> None:
    old = site.start(version, configured(site), environment={"COLOUR": "red"}).wait_ready(2)
    site.start(
        version, configured(site), successor_of=old.pid, environment={"COLOUR": "blue"}
    ).wait_ready(2)
    assert old.end() == 0
    assert json.loads(ask(f"unix:{site.folder}/http", "/environment"))["COLOUR"] == "blue"


def test_no_successor_has_more_open_than_the_arbiter_before(site: Site, version: str) -> None:
    """Kept sockets that no address is for are closed, and nothing adds up."""
    alone = configured(site, "control_socket_disable = True\n")
    conf = alone.replace("workers", "bind = [bind, '127.0.0.1:0', '127.0.0.1:0']\nworkers")
    serving = site.start(version, conf).wait_ready(2)
    expected = serving.descriptors()
    for _ in range(3):
        successor = site.start(version, conf, successor_of=serving.pid).wait_ready(2)
        assert successor.descriptors() == expected
        assert serving.end() == 0
        serving = successor
    fewer = site.start(version, alone, successor_of=serving.pid).wait_ready(2)
    assert len(fewer.descriptors()) == len(expected) - 2
    assert serving.end() == 0
    assert answering(f"unix:{site.folder}/http") == fewer.pid
