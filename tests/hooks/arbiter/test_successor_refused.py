"""A successor that cannot have the sockets ends, and the arbiter that serves never notices."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.hooks.channel import PATIENCE_SECS
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.messages import Starting
from tests.harness.configuration import free_port
from tests.harness.waiting import patience, wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, VERSIONS, Gunicorn, Site, answering


def drop_one(site: Site) -> None:
    texts = [text for text, _ in site.listener.kept]
    site.listener.starting["sockets"] = (*texts, "127.0.0.1:9")


WHYS: dict[str, Callable[[Site], object]] = {
    "its rollout has ended": lambda site: site.listener.starting.update(
        refused="its rollout has ended"
    ),
    "the listener knows of no rollout": lambda site: site.listener.starting.update(successor=False),
    "descriptors came for": drop_one,
    "the listener keeps no sockets": lambda site: site.listener.forget(),
}
#: What is wrong with its configuration or environment, and why it says that it ends.
WRONG = [
    ("", {SOCKET_VARIABLE: ""}, "there is no listener"),
    ("reuse_port = True\n", {}, "reuse_port is set"),
    ("raw_env = ['SUPERVISOR_ROLL_SUCCESSOR_OF=x']\n", {}, "'x' is no pid"),
]


@pytest.fixture
def serving(site: Site, version: str) -> Gunicorn:
    return site.start(
        version, f"bind = 'unix:{site.folder}/http'\npidfile = 'pid'\n{HOOKS}", name="old"
    ).wait_ready()


@pytest.fixture
def inode(site: Site, serving: Gunicorn) -> int:
    """That of the path where it serves."""
    return (site.folder / "http").stat().st_ino


def beside(site: Site, serving: Gunicorn, more: str = HOOKS, **options: Any) -> Gunicorn:
    """A successor of the one that serves, configured as that is, with ``more``."""
    conf = f"bind = 'unix:{site.folder}/http'\npidfile = 'pid'\n{more}"
    return site.start(serving.version, conf, successor_of=serving.pid, **options)


def assert_untouched(site: Site, serving: Gunicorn, inode: int) -> None:
    assert answering(f"unix:{site.folder}/http") == serving.pid
    assert (site.folder / "http").stat().st_ino == inode
    assert (site.folder / "pid").read_text().strip() == str(serving.pid)
    assert not (site.folder / "pid.2").exists()


def test_why_it_ends_is_said_and_nothing_is_touched(
    site: Site, serving: Gunicorn, inode: int
) -> None:
    binds = [f"unix:{site.folder}/http", f"127.0.0.1:{free_port()}"]
    for why, bring_about in WHYS.items():
        site.listener.starting.clear()
        bring_about(site)
        successor = beside(site, serving, f"bind = {binds!r}\n{HOOKS}")
        assert successor.exit_status() == 1
        assert "cannot start beside the arbiter that serves" in successor.log
        assert why in successor.log
        assert "Listening at" not in successor.log
        assert_untouched(site, serving, inode)


def test_so_it_is_with_a_listener_that_cannot_be_asked_and_sockets_that_cannot_be_shared(
    site: Site, serving: Gunicorn, inode: int
) -> None:
    for configuration, environment, why in WRONG:
        successor = beside(site, serving, configuration + HOOKS, environment=environment)
        assert successor.exit_status() == 1
        assert why in successor.log
        assert "Traceback" not in successor.log
        assert_untouched(site, serving, inode)


@pytest.mark.parametrize("version", VERSIONS[-1:])
@pytest.mark.parametrize("state", ["gone", "mute"])
def test_a_listener_that_gives_no_answer_is_asked_again_and_again_but_not_for_ever(
    site: Site, serving: Gunicorn, inode: int, state: str
) -> None:
    site.listener.mute = state == "mute"
    environment = {SOCKET_VARIABLE: "/nonexistent/s"} if state == "gone" else {}
    successor = beside(site, serving, environment=environment)
    assert successor.exit_status() == 1
    assert "the listener gave no answer" in successor.log
    assert "Traceback" not in successor.log
    asked = len(site.listener.said(Starting, successor.pid))
    assert asked == 0 if state == "gone" else asked > 1
    assert_untouched(site, serving, inode)


def test_one_that_is_being_restarted_is_waited_for(
    site: Site, serving: Gunicorn, inode: int
) -> None:
    site.listener.mute = True
    successor = beside(site, serving)
    wait_until(lambda: site.listener.said(Starting, successor.pid), DEADLINE_SECS, "it asks")
    site.listener.mute = False
    successor.wait_ready()
    assert (site.folder / "http").stat().st_ino == inode
    assert serving.end() == 0
    assert answering(f"unix:{site.folder}/http") == successor.pid


def test_a_path_where_somebody_serves_is_never_opened_anew(
    site: Site, serving: Gunicorn, inode: int
) -> None:
    """The listener keeps something else of it: that path would be taken from the old arbiter."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        site.listener.forget()
        port = other.getsockname()[1]
        site.listener.kept = [(f"127.0.0.1:{port}", os.dup(other.fileno()))]
        successor = beside(site, serving, f"bind = ['127.0.0.1:{port}', bind]\n{HOOKS}")
        assert successor.exit_status() == 1
    assert f"somebody serves on {site.folder}/http" in successor.log
    assert_untouched(site, serving, inode)


def test_without_our_hooks_a_successor_ends_before_it_opens_a_socket(
    site: Site, serving: Gunicorn, inode: int
) -> None:
    successor = beside(site, serving, "")
    assert successor.exit_status() == 1
    assert "KeyError: 'GUNICORN_FD'" in successor.log
    assert not site.listener.said(Starting, successor.pid)
    assert answering(f"unix:{site.folder}/http") == serving.pid
    assert (site.folder / "http").stat().st_ino == inode
    assert (site.folder / "pid").read_text().strip() == str(serving.pid)


def test_a_successor_whose_workers_cannot_boot_ends_as_any_gunicorn_and_leaves_all(
    site: Site, serving: Gunicorn, inode: int
) -> None:
    (site.folder / "app.py").write_text("import nosuch\n")
    successor = beside(site, serving)
    assert successor.exit_status() == 3
    assert_untouched(site, serving, inode)


@pytest.mark.parametrize("state", ["hung", "none", "without the new fields"])
def test_any_other_start_goes_on_whatever_the_listener_says_and_waits_for_it_once(
    site: Site, version: str, state: str
) -> None:
    environment = {}
    hung = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if state == "hung":
        (site.folder / "hung").mkdir()
        hung.bind(str(site.folder / "hung" / str(os.geteuid())))
        environment = {SOCKET_VARIABLE: str(site.folder / "hung")}
    elif state == "none":
        environment = {SOCKET_VARIABLE: str(site.folder / "nothing")}
    timed = (
        "import pathlib, time\n"
        "_began = time.monotonic()\n"
        "def when_ready(server):\n"
        "    pathlib.Path('took').write_text(str(time.monotonic() - _began))\n"
    )
    gunicorn = site.start(
        version, f"bind = 'unix:{site.folder}/http'\n{timed}{HOOKS}", environment=environment
    )
    took = site.folder / "took"
    wait_until(lambda: took.exists() and took.read_text(), DEADLINE_SECS, "that it listens")
    assert answering(f"unix:{site.folder}/http") == gunicorn.pid
    if state == "hung":
        # Asked at its start and again once it listens: yet it has waited but once.
        assert PATIENCE_SECS * 0.9 < float(took.read_text()) < PATIENCE_SECS * 0.95 * patience()
    hung.close()
    assert Path(site.folder / "http").is_socket()
    assert gunicorn.end() == 0
