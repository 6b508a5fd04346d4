"""Two arbiters accept on the very same sockets, and no connection is refused as they change."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from supervisor_roll.wire.messages import Starting, Stopping
from tests.harness.certificate import PEM
from tests.harness.configuration import free_port
from tests.harness.connections import has_ipv6
from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import (
    DEADLINE_SECS,
    HOOKS,
    VERSIONS,
    Gunicorn,
    Load,
    Site,
    answering,
)


def binds_of(site: Site, kinds: str) -> list[str]:
    made = {
        "tcp": lambda: f"127.0.0.1:{free_port()}",
        "tcp6": lambda: f"[::1]:{free_port('::1')}",
        "unix": lambda: f"unix:{site.folder}/http{len(kinds)}",
    }
    return [made[kind]() for kind in kinds.split()]


def succeed(site: Site, version: str, old: Gunicorn, configuration: str) -> Gunicorn:
    """A successor that answers, while the old arbiter does."""
    return site.start(version, configuration, successor_of=old.pid).wait_ready()


@pytest.mark.parametrize(
    "kinds",
    [
        "tcp",
        "unix",
        "tcp unix tcp",
        pytest.param("tcp6", marks=pytest.mark.skipif(not has_ipv6(), reason="takes ::1")),
    ],
)
def test_a_successor_accepts_where_the_old_arbiter_does_and_goes_on_when_that_ends(
    site: Site, version: str, kinds: str
) -> None:
    """Also from one successor to the next; the last one's intended stop removes the path."""
    binds = binds_of(site, kinds)
    configuration = f"bind = {binds!r}\n{HOOKS}"
    serving = site.start(version, configuration).wait_ready()
    assert [text for text, _ in site.listener.kept] == binds
    with Load(binds) as load:
        for _ in range(2):
            successor = succeed(site, version, serving, configuration)
            load.wait_for(successor.pid)
            assert serving.end() == 0
            load.wait_for(successor.pid)
            serving = successor
    assert not load.failures
    paths = [Path(one.removeprefix("unix:")) for one in binds if one.startswith("unix:")]
    assert all(path.is_socket() for path in paths)

    site.listener.keep_paths = False
    assert serving.end() == 0
    assert not any(path.exists() for path in paths)
    told = [[*one.paths] for one in site.listener.said(Stopping, serving.pid)]
    assert told == ([[*map(str, paths)]] if paths else [])


def test_of_paths_that_stay_those_go_that_the_other_arbiter_is_not_configured_with(
    site: Site, version: str
) -> None:
    kept, dropped = f"unix:{site.folder}/kept", f"unix:{site.folder}/dropped"
    serving = site.start(version, f"bind = {[kept, dropped]!r}\n{HOOKS}").wait_ready()
    site.listener.unused_paths = [dropped.removeprefix("unix:")]
    assert serving.end() == 0
    assert Path(kept.removeprefix("unix:")).is_socket()
    assert not Path(dropped.removeprefix("unix:")).exists()


def test_an_arbiter_of_another_gunicorn_takes_over(site: Site, version: str) -> None:
    (bind,) = binds_of(site, "unix")
    other = VERSIONS[VERSIONS.index(version) - 1]
    old = site.start(other, f"bind = {bind!r}\n{HOOKS}").wait_ready()
    with Load([bind]) as load:
        successor = succeed(site, version, old, f"bind = {bind!r}\n{HOOKS}")
        load.wait_for(successor.pid)
        assert old.end() == 0
        load.wait_for(successor.pid)
    assert not load.failures


def test_one_bind_is_kept_one_is_new_and_one_is_dropped(site: Site, version: str) -> None:
    new, kept, dropped = binds_of(site, "tcp unix tcp")
    old = site.start(version, f"bind = {[kept, dropped]!r}\n{HOOKS}").wait_ready()
    with Load([kept]) as load:
        successor = succeed(site, version, old, f"bind = {[new, kept]!r}\n{HOOKS}")
        assert [text for text, _ in site.listener.kept] == [new, kept]
        assert answering(new) == successor.pid
        assert answering(dropped) == old.pid
        assert old.end() == 0
        load.wait_for(successor.pid)
    assert not load.failures
    with pytest.raises(ConnectionRefusedError):
        answering(dropped)


def test_a_name_is_the_address_that_it_stands_for(site: Site, version: str) -> None:
    port = free_port()
    old = site.start(version, f"bind = '127.0.0.1:{port}'\n{HOOKS}").wait_ready()
    successor = succeed(site, version, old, f"bind = 'localhost:{port}'\n{HOOKS}")
    assert old.end() == 0
    assert answering(f"127.0.0.1:{port}") == successor.pid


def test_tls_is_the_successors_own_on_the_same_socket(site: Site, version: str) -> None:
    (site.folder / "pem").write_text(PEM)
    (bind,) = binds_of(site, "tcp")
    configuration = f"bind = {bind!r}\ncertfile = 'pem'\nkeyfile = 'pem'\n{HOOKS}"
    old = site.start(version, configuration).wait_ready()
    with Load([bind], tls=True) as load:
        successor = succeed(site, version, old, configuration)
        load.wait_for(successor.pid)
        assert old.end() == 0
        load.wait_for(successor.pid)
    assert not load.failures


def test_a_successors_missing_certificate_ends_it_and_nothing_else(
    site: Site, version: str
) -> None:
    (bind,) = binds_of(site, "unix")
    old = site.start(version, f"bind = {bind!r}\n{HOOKS}").wait_ready()
    successor = site.start(
        version, f"bind = {bind!r}\ncertfile = 'nosuch'\n{HOOKS}", successor_of=old.pid
    )
    assert successor.exit_status() == 1
    assert 'certfile "nosuch" does not exist' in successor.log
    assert answering(bind) == old.pid


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_inherited_sockets_are_shared_without_us_and_their_paths_stay(
    site: Site, version: str, kind: str
) -> None:
    (bind,) = binds_of(site, kind)
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family) as inherited:
        inherited.bind(
            bind.removeprefix("unix:")
            if kind == "unix"
            else ("127.0.0.1", int(bind.rpartition(":")[2]))
        )
        inherited.listen(100)
        configuration = f"bind = 'fd://0'\n{HOOKS}"
        old = site.start(version, configuration, stdin=inherited.fileno()).wait_ready()
        with Load([bind]) as load:
            successor = site.start(
                version, configuration, successor_of=old.pid, stdin=inherited.fileno()
            ).wait_ready()
            load.wait_for(successor.pid)
            assert old.end() == 0
            load.wait_for(successor.pid)
        assert not load.failures
        assert successor.end() == 0
        if kind == "unix":
            assert Path(bind.removeprefix("unix:")).is_socket()
    assert not site.listener.kept
    assert not site.listener.said(Stopping)
    assert site.listener.said(Starting)[0].binds == ("fd://0",)


@pytest.mark.parametrize("kinds", ["tcp unix"])
def test_an_arbiter_that_crashes_and_starts_again_refuses_no_connection(
    site: Site, version: str, kinds: str
) -> None:
    binds = binds_of(site, kinds)
    configuration = f"bind = {binds!r}\nworkers = 2\n{HOOKS}"
    crashing = site.start(version, configuration).wait_ready(2)
    workers = crashing.workers()
    crashing.end(signal.SIGKILL)
    # Its workers may still answer and end with a request in hand: that is none of ours.
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers),
        DEADLINE_SECS,
        "the orphans' end",
    )
    with Load(binds) as load:
        restarted = site.start(version, configuration).wait_ready(2)
        load.wait_for(restarted.pid)
    assert not load.failures


def test_an_arbiter_that_is_given_nothing_opens_its_own_over_a_dead_path(
    site: Site, version: str
) -> None:
    binds = binds_of(site, "unix tcp")
    configuration = f"bind = {binds!r}\n{HOOKS}"
    assert site.start(version, configuration).wait_ready().end() == 0
    assert Path(binds[0].removeprefix("unix:")).is_socket()
    site.listener.forget()
    again = site.start(version, configuration).wait_ready()
    assert [answering(bind) for bind in binds] == [again.pid, again.pid]


def test_a_kept_socket_whose_path_is_gone_is_opened_anew(site: Site, version: str) -> None:
    (bind,) = binds_of(site, "unix")
    old = site.start(version, f"bind = {bind!r}\n{HOOKS}").wait_ready()
    Path(bind.removeprefix("unix:")).unlink()
    successor = succeed(site, version, old, f"bind = {bind!r}\n{HOOKS}")
    assert answering(bind) == successor.pid
