"""Which kept socket is for which configured address, and what becomes of the others."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config

from supervisor_roll.hooks.arbiter.addresses import path_of, text_of, unix_paths
from supervisor_roll.hooks.arbiter.inherited_sockets import (
    InheritedSocket,
    PathInUseError,
    kept_from,
    listeners,
)
from tests.harness.descriptors import open_descriptors, settled_descriptors


class Server:
    """As much of an arbiter as there must be for sockets."""

    def __init__(self, *binds: str) -> None:
        self.cfg = Config()
        self.cfg.set("bind", list(binds))
        self.log = logging.getLogger("gunicorn.error")


@pytest.fixture(autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory. Its path is short, as a Unix socket's must be."""
    folder = tmp_path_factory.mktemp("f")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    before = settled_descriptors()
    yield
    assert open_descriptors() == before


def kept(bind: str, text: str = "") -> InheritedSocket:
    """A socket that listens there, under that text."""
    if bind.startswith("unix:"):
        one = socket.socket(socket.AF_UNIX)
        one.bind(bind.removeprefix("unix:"))
    else:
        one = socket.socket()
        one.bind((bind, 0))
        text = text or f"{bind}:{one.getsockname()[1]}"
    one.listen()
    return InheritedSocket(text or bind, one.detach())


def made(server: Server, *there: InheritedSocket, beside_another: bool = True) -> list[Any]:
    """What each address got: the name of its socket."""
    sockets = listeners(server, list(there), beside_another=beside_another)
    assert all(one.conf is server.cfg for one in sockets)
    names = [one.getsockname() for one in sockets]
    for one in sockets:
        one.close()
    return names


@pytest.mark.parametrize(
    ("address", "text", "path"),
    [
        (("127.0.0.1", 8000), "127.0.0.1:8000", ""),
        (("localhost", 80), "localhost:80", ""),
        (("::1", 8000), "[::1]:8000", ""),
        (("::1", 8000, 0, 0), "[::1]:8000", ""),
        ("/run/x.sock", "unix:/run/x.sock", "/run/x.sock"),
        (b"/run/x.sock", "unix:/run/x.sock", "/run/x.sock"),
        ("\0name", "unix:@name", ""),
        (0, "fd://0", ""),
    ],
)
def test_an_address_as_text(address: object, text: str, path: str) -> None:
    assert text_of(address) == text
    assert path_of(address) == path


def test_a_relative_path_is_made_absolute(folder: Path) -> None:
    assert text_of("x.sock") == f"unix:{folder}/x.sock"


def test_paths_are_gunicorns_own_only_where_it_opens_them() -> None:
    assert unix_paths(Server("unix:/a", "127.0.0.1:1", "unix:/b").cfg) == ["/a", "/b"]
    assert unix_paths(Server("unix:/a", "fd://3").cfg) == []


def test_each_address_gets_its_own_in_the_order_of_the_configuration(folder: Path) -> None:
    there = [kept("127.0.0.1"), kept(f"unix:{folder}/a"), kept("127.0.0.1")]
    names = [one.name for one in there]
    server = Server(there[2].text, f"unix:{folder}/a", there[0].text)
    assert made(server, *there) == [names[2], names[1], names[0]]


def test_what_no_address_is_for_is_closed_and_what_is_not_there_is_opened() -> None:
    other, wanted = kept("127.0.0.1"), kept("127.0.0.1")
    name, closed = wanted.name, other.name
    new, old = made(Server("127.0.0.1:0", wanted.text), other, wanted)
    assert old == name
    assert new not in (name, closed)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(closed)


def test_a_random_port_stays_the_one_that_it_was() -> None:
    there = kept("127.0.0.1", "127.0.0.1:0")
    assert made(Server("127.0.0.1:0"), there) == [there.name]


def test_the_same_address_by_another_name() -> None:
    there = kept("127.0.0.1")
    name = there.name
    assert made(Server(f"localhost:{name[1]}"), there) == [name]


def test_the_same_path_by_another_name(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "link").symlink_to("run")
    there = kept(f"unix:{folder}/run/a")
    inode = (folder / "run/a").stat().st_ino
    assert made(Server(f"unix:{folder}/link/a"), there) == [f"{folder}/run/a"]
    assert (folder / "run/a").stat().st_ino == inode


def test_the_same_relative_path_in_another_folder_is_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new").mkdir()
    there = kept("unix:a", text_of("a"))
    monkeypatch.chdir("new")
    assert made(Server("unix:a"), there) == ["a"]
    assert (folder / "new" / "a").is_socket()


@pytest.mark.parametrize("beside_another", [True, False])
def test_a_dead_path_is_opened_anew(folder: Path, beside_another: bool) -> None:
    kept(f"unix:{folder}/a").close()
    (one,) = listeners(Server(f"unix:{folder}/a"), [], beside_another=beside_another)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{folder}/a")
    one.close()


def test_a_path_where_somebody_serves_is_left_to_whoever_that_is(folder: Path) -> None:
    serving, there = kept(f"unix:{folder}/a"), kept("127.0.0.1")
    inode = (folder / "a").stat().st_ino
    with pytest.raises(PathInUseError, match=f"{folder}/a"):
        made(Server(there.text, f"unix:{folder}/a"), there)
    assert (folder / "a").stat().st_ino == inode
    serving.close()


def test_a_full_backlog_is_somebody_who_serves(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(folder / "a"))
        busy.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(str(folder / "a"))
        with pytest.raises(PathInUseError):
            made(Server(f"unix:{folder}/a"))
        for client in clients:
            client.close()


def test_a_certificate_that_is_missing_is_what_gunicorn_says_it_is() -> None:
    there = kept("127.0.0.1")
    server = Server(there.text)
    server.cfg.set("certfile", "/nonexistent")
    with pytest.raises(ValueError, match='certfile "/nonexistent" does not exist'):
        made(server, there)


def test_an_address_that_cannot_be_bound_ends_the_process_as_in_gunicorn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda secs: None)
    there, taken = kept("127.0.0.1"), kept("127.0.0.1")
    with pytest.raises(SystemExit) as ended:
        made(Server(there.text, f"127.0.0.1:{taken.name[1]}"), there)
    assert ended.value.code == 1
    taken.close()


@pytest.mark.parametrize("texts", [[], ["127.0.0.1:1"], ["127.0.0.1:1"] * 3])
def test_not_one_descriptor_for_each_text_is_none_at_all(texts: list[str]) -> None:
    fds = [socket.socket().detach() for _ in range(2)]
    with pytest.raises(ValueError, match=f"2 descriptors came for {len(texts)} addresses"):
        kept_from(texts, fds)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_with_a_descriptor_that_is_no_socket_none_is_kept(at: int) -> None:
    fds = [socket.socket().detach() for _ in range(2)]
    fds.insert(at, os.open("/dev/null", os.O_RDONLY))
    with pytest.raises(OSError, match="socket"):
        kept_from(["127.0.0.1:1"] * 3, fds)
