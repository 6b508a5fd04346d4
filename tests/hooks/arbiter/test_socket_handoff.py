"""Sockets are handed in when there are any, when they change, and when the listener asks."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest

from supervisor_roll.wire.messages import (
    Booting,
    Listening,
    Loaded,
    Message,
    Ready,
    Reloaded,
    Starting,
    Stopping,
)
from tests.harness.configuration import free_port
from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, Gunicorn, Site, answering

CLASSES = pytest.mark.parametrize("worker_class", ["sync", "gthread"])


def names(site: Site) -> list[object]:
    return sorted(os.readlink(f"/proc/self/fd/{fd}") for _, fd in site.listener.kept)  # noqa: PTH115


def last_said(site: Site, kind: str, pid: int) -> Message:
    return wait_until(lambda: site.listener.said(kind, pid)[-1:], DEADLINE_SECS, kind)[0]


def test_an_arbiter_says_where_it_listens_and_hands_its_sockets_in(
    site: Site, version: str
) -> None:
    binds = [f"127.0.0.1:{free_port()}", f"unix:{site.folder}/http"]
    gunicorn = site.start(version, f"bind = [{binds[0]!r}, 'unix:http']\n{HOOKS}").wait_ready()
    (starting,) = site.listener.said(Starting)
    assert list(starting.binds) == binds
    ((pid, listening),) = [one for one in site.listener.heard if isinstance(one[1], Listening)]
    assert pid == gunicorn.pid
    assert listening.arbiter_pid == gunicorn.pid
    assert list(listening.sockets) == binds
    theirs = [os.readlink(f"/proc/{gunicorn.pid}/fd/{number}") for number in listening.fds]  # noqa: PTH115
    assert sorted(theirs) == names(site)


@CLASSES
@pytest.mark.parametrize("kind", [Loaded, Ready])
def test_a_worker_hands_in_its_arbiters_sockets_when_it_is_asked(
    site: Site, version: str, kind: str, worker_class: str
) -> None:
    """As when the listener has restarted, and keeps nothing."""
    site.listener.wants_sockets_after = {kind}
    gunicorn = site.start(
        version,
        f"bind = ['unix:http', '127.0.0.1:{free_port()}']\n"
        f"worker_class = {worker_class!r}\nthreads = 2\n{HOOKS}",
    ).wait_ready()
    (worker,) = gunicorn.workers()
    by_worker = last_said(site, Listening, worker)
    (by_arbiter,) = site.listener.said(Listening, gunicorn.pid)
    for key in ("sockets", "fds", "arbiter_pid", "binds"):
        assert getattr(by_worker, key) == getattr(by_arbiter, key)
    assert len(site.listener.kept) == 2
    assert answering(f"unix:{site.folder}/http") == gunicorn.pid
    assert len(site.listener.said(Ready, worker)) == 1  # and that was all


@pytest.mark.parametrize("version", ["20.1.0", "25.3.0", "27.0.1"])
def test_a_gevent_worker_hands_in_what_it_was_forked_with(site: Site, version: str) -> None:
    """It takes the descriptors out of its arbiter's sockets, from Gunicorn 25 on.

    The arbiter's own hand-in is lost, as when it has started before its listener.
    """
    site.listener.hand_ins_lost = 1
    site.listener.wants_sockets_after = {Ready}
    bind = f"127.0.0.1:{free_port()}"
    gunicorn = site.start(
        version, f"bind = ['unix:http', {bind!r}]\nworker_class = 'gevent'\n{HOOKS}"
    ).wait_ready()
    (worker,) = gunicorn.workers()
    assert len(last_said(site, Listening, worker).fds) == 2
    wait_until(lambda: len(site.listener.kept) == 2, DEADLINE_SECS, "both sockets")
    assert [text for text, _ in site.listener.kept] == [f"unix:{site.folder}/http", bind]
    assert answering(bind) == gunicorn.pid


def test_a_hand_in_that_is_lost_is_said_again(site: Site) -> None:
    site.listener.hand_ins_lost = 3  # the arbiter's, and two of its worker's
    site.listener.wants_sockets_after = {Ready}
    gunicorn = site.start("27.0.1", f"bind = 'unix:http'\n{HOOKS}").wait_ready()
    wait_until(lambda: site.listener.kept, DEADLINE_SECS, "the sockets")
    (worker,) = gunicorn.workers()
    assert len(site.listener.said(Listening, worker)) == 3
    assert "has not taken the listening sockets" not in gunicorn.log


def test_a_worker_gives_it_up_to_hand_in_its_sockets(site: Site) -> None:
    site.listener.hand_ins_lost = 99
    site.listener.wants_sockets_after = {Ready}
    gunicorn = site.start(
        "27.0.1",
        "import supervisor_roll.hooks.worker.readiness as _worker\n_worker.HAND_INS = 2\n"
        f"bind = 'unix:http'\n{HOOKS}",
    ).wait_ready()
    wait_until(
        lambda: "has not taken the listening sockets" in gunicorn.log, DEADLINE_SECS, "the warning"
    )
    (worker,) = gunicorn.workers()
    assert len(site.listener.said(Listening, worker)) == 2


def test_a_reload_that_changes_the_binds_hands_the_new_ones_in(site: Site, version: str) -> None:
    gunicorn = site.start(version, f"bind = 'unix:one'\n{HOOKS}", name="conf").wait_ready()
    before = names(site)
    gunicorn.send(signal.SIGHUP)
    wait_until(lambda: len(site.listener.said(Reloaded)) == 1, DEADLINE_SECS, "a reload")
    gunicorn.wait_ready()
    assert len(site.listener.said(Listening)) == 1

    conf = site.folder / "conf.py"
    # With another size: Python would take what it compiled of a file of the same second and size.
    conf.write_text(conf.read_text().replace("unix:one", "unix:two") + "# changed\n")
    gunicorn.send(signal.SIGHUP)
    wait_until(lambda: len(site.listener.said(Listening)) == 2, DEADLINE_SECS, "the new sockets")
    assert [text for text, _ in site.listener.kept] == [f"unix:{site.folder}/two"]
    assert names(site) != before
    worker = wait_until(
        lambda: [
            pid
            for pid in gunicorn.workers()
            if site.listener.said(Ready, pid)[0].binds == (f"unix:{site.folder}/two",)
        ],
        DEADLINE_SECS,
        "a new worker",
    )[0]
    assert site.listener.said(Booting, worker)[0].binds == (f"unix:{site.folder}/two",)
    assert answering(f"unix:{site.folder}/two") == gunicorn.pid
    site.listener.keep_paths = False
    assert gunicorn.end() == 0
    assert not (site.folder / "two").exists()


# --- the facts of a worker -----------------------------------------------------------------------


def facts(site: Site, gunicorn: Gunicorn) -> Booting:
    """What its youngest worker has said at its fork."""
    workers = gunicorn.wait_ready().workers()
    said = [site.listener.said(Booting, pid)[0] for pid in workers]
    return max(said, key=lambda one: one.age or 0)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_worker_says_which_configuration_its_arbiter_has_read(site: Site, version: str) -> None:
    gunicorn = site.start(version, f"bind = 'unix:http'\n{HOOKS}", name="conf")
    conf = site.folder / "conf.py"
    said = facts(site, gunicorn)
    assert (said.conf, said.conf_digest) == (str(conf), digest(conf))
    assert (said.listens, said.binds) == (True, (f"unix:{site.folder}/http",))

    # A file that has changed since is not what the arbiter has read, until it reads it.
    read = digest(conf)
    conf.write_text(conf.read_text() + "# new\n")
    gunicorn.send(signal.SIGTTIN)
    gunicorn.wait_ready(2)
    assert facts(site, gunicorn).conf_digest == read
    gunicorn.send(signal.SIGHUP)
    wait_until(lambda: facts(site, gunicorn).conf_digest == digest(conf), DEADLINE_SECS, "HUP")


@pytest.mark.parametrize(
    ("arguments", "conf"),
    [
        (["-c", "file:conf.py"], "conf.py"),
        (["-c", "link/conf.py"], "link/conf.py"),
        (["--chdir", "elsewhere"], "gunicorn.conf.py"),
        (["-c", "python:supervisor_roll.hooks", "-b", "unix:http"], ""),
    ],
)
def test_a_configuration_goes_by_the_name_that_it_was_given(
    site: Site, version: str, arguments: list[str], conf: str
) -> None:
    """A link stays one; the name counts from where Gunicorn was started."""
    (site.folder / "elsewhere").mkdir()
    (site.folder / "link").symlink_to("elsewhere")
    (site.folder / "elsewhere" / "app.py").write_text((site.folder / "app.py").read_text())
    for name in ("conf.py", "gunicorn.conf.py", "link/conf.py"):
        (site.folder / name).write_text(f"bind = 'unix:{site.folder}/http'\n{HOOKS}# {name}")
    said = facts(site, site.start_with(version, *arguments))
    assert said.conf == (str(site.folder / conf) if conf else "")
    assert said.conf_digest == (digest(site.folder / conf) if conf else "")


@pytest.mark.parametrize("missing", ["on_starting", "when_ready", "on_exit"])
def test_with_a_hook_too_few_an_arbiter_says_so_and_removes_its_path_itself(
    site: Site, version: str, missing: str
) -> None:
    gunicorn = site.start(version, f"bind = 'unix:http'\n{HOOKS}\ndel {missing}\n")
    assert not facts(site, gunicorn).listens
    site.listener.keep_paths = False
    assert gunicorn.end() == 0
    assert not (site.folder / "http").exists()


def test_a_users_own_hooks_run_beside_ours(site: Site, version: str) -> None:
    own = "".join(
        f"def {name}(server):\n    server.log.info('the own {name}')\n"
        for name in ("on_starting", "when_ready", "on_exit")
    )
    gunicorn = site.start(version, f"bind = 'unix:http'\n{own}{HOOKS}")
    assert facts(site, gunicorn).listens
    assert gunicorn.end() == 0
    for name in ("on_starting", "when_ready", "on_exit"):
        assert f"the own {name}" in gunicorn.log
    assert site.listener.said(Stopping)


@pytest.mark.parametrize("state", ["deaf", "a file there", "nothing there"])
def test_a_path_is_removed_only_on_the_listeners_word_and_if_it_is_a_socket(
    site: Site, version: str, state: str
) -> None:
    gunicorn = site.start(version, f"bind = 'unix:http'\n{HOOKS}").wait_ready()
    path = site.folder / "http"
    site.listener.keep_paths = False
    if state == "deaf":
        site.listener.mute = True
    else:
        path.unlink()
    if state == "a file there":
        path.write_text("precious")
    assert gunicorn.end() == 0
    assert path.exists() == (state != "nothing there")
    assert "Traceback" not in gunicorn.log


def test_with_reuse_port_the_sockets_are_left_to_gunicorn(site: Site) -> None:
    gunicorn = site.start("27.0.1", f"bind = '127.0.0.1:{free_port()}'\nreuse_port = True\n{HOOKS}")
    said = facts(site, gunicorn)
    assert (said.reuse_port, said.listens) == (True, False)
    assert gunicorn.end() == 0
    assert not {Starting, Listening, Stopping} & {type(one) for _, one in site.listener.heard}
