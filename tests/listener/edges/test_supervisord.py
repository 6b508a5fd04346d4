"""The listener's secrets go to the supervisord that started it, and to nobody in its place."""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from supervisor_roll.listener.edges.supervisord import Supervisord, Unreachable
from tests.harness.folders import new_folder

takes_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
NOBODY = 65534


class Server(socketserver.TCPServer, SimpleXMLRPCDispatcher):
    """An XML-RPC server. Its ``getPID`` tells who it is, and ``heard`` what has come in."""

    allow_reuse_address = True
    logRequests = False

    def __init__(self, family: int, address: object, pid: int) -> None:
        self.address_family = family
        self.heard = 0
        SimpleXMLRPCDispatcher.__init__(self)
        super().__init__(address, _Handler)
        self.register_function(lambda: pid, "supervisor.getPID")

    def verify_request(self, request: object, client_address: object) -> bool:
        self.heard += 1
        return True


class _Handler(SimpleXMLRPCRequestHandler):
    disable_nagle_algorithm = False  # there is none in a Unix socket


@contextmanager
def served(family: int, address: object, pid: int = 1) -> Iterator[Server]:
    with Server(family, address, pid) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def pid_at(url: str) -> int:
    return Supervisord(url, "operator", "secret", "token").pid()


def run(script: str, *command: str) -> str:
    done = subprocess.run(
        [*command, sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


ASK = """
from supervisor_roll.listener.edges.supervisord import Supervisord, Unreachable
import os, time

supervisord = Supervisord("{url}", "operator", "secret", "token")
{then}
try:
    print(supervisord.pid())
except Unreachable as error:
    print(error)
"""


@takes_root
def test_who_listens_at_the_ipv6_address_of_the_same_name_is_told_nothing(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 localhost\n127.0.0.1 localhost\n")
    mount = ["unshare", "-m", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
    if not socket.has_ipv6 or shutil.which("unshare") is None or run("", *mount):
        pytest.skip("/etc/hosts cannot be another one here")
    with served(socket.AF_INET, ("127.0.0.1", 0), pid=4) as ours:
        port = ours.server_address[1]
        with served(socket.AF_INET6, ("::1", port), pid=6) as other:
            assert run(ASK.format(url=f"http://localhost:{port}", then=""), *mount) == "4\n"
            assert other.heard == 0


def test_a_socket_of_supervisords_own_user_is_spoken_to(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with served(socket.AF_UNIX, path, pid=7):
        assert pid_at(f"unix://{path}") == 7


@takes_root
def test_another_user_who_listens_at_the_path_is_told_nothing() -> None:
    folder = new_folder("roll-", "/tmp")
    folder.chmod(0o777)
    path = str(folder / "s.sock")
    listens = f"""
import os, socket
os.setuid({NOBODY})
one = socket.socket(socket.AF_UNIX)
one.bind("{path}")
one.listen()
print("listens", flush=True)
print(one.accept()[0].recv(100))
"""
    with subprocess.Popen(
        [sys.executable, "-c", listens], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "listens\n"
        with pytest.raises(Unreachable, match=f"user {NOBODY} listens at"):
            pid_at(f"unix://{path}")
        assert other.stdout.read() == "b''\n"
    shutil.rmtree(folder)


def test_who_listens_at_its_port_once_it_has_gone_is_told_nothing() -> None:
    with served(socket.AF_INET, ("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        # The child is the listener, whose parent goes once it has been set up.
        then = f"""
parent, (read, write) = os.getpid(), os.pipe()
if os.fork():
    os.read(read, 1)
    os._exit(0)
supervisord = Supervisord("{url}", "operator", "secret", "token")
os.write(write, b"x")
while os.getppid() == parent:
    time.sleep(0.01)
"""
        assert "supervisord has gone" in run(ASK.format(url=url, then=then))
        assert server.heard <= 1


@contextmanager
def answers_with(path: str, *answers: bytes) -> Iterator[list[bytes]]:
    """A server that answers what comes through one connection in one piece, then leaves."""
    pieces: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for answer in answers:
                    pieces.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield pieces
        finally:
            thread.join()


def answer(pid: int, status: str = "200 OK", missing: int = 0) -> bytes:
    body = xmlrpc.client.dumps((pid,), methodresponse=True).encode()
    head = f"HTTP/1.1 {status}\r\nServer: x\r\nContent-length:{len(body) + missing}\r\n\r\n"
    return head.encode() + body


def test_one_connection_serves_all_calls_and_each_is_sent_in_one_piece(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with answers_with(path, answer(7), answer(8)) as pieces:
        supervisord = Supervisord(f"unix://{path}", "operator", "secret", "token")
        assert (supervisord.pid(), supervisord.pid()) == (7, 8)
    ends = [(one[:5], one.rstrip()[-13:]) for one in pieces]
    assert ends == [(b"POST ", b"</methodCall>")] * 2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "it closed the connection"),
        (b"?\r\n\r\n", "it closed the connection"),
        (b"HTTP/1.1 ok\r\nContent-Length: 0\r\n\r\n", "it closed the connection"),
        (answer(7, missing=1), "in the middle of its answer"),
        (answer(7, "401 Unauthorized"), "HTTP 401 Unauthorized"),
    ],
)
def test_an_answer_that_is_none_is_told_and_the_next_call_connects_again(
    tmp_path: Path, given: bytes, why: str
) -> None:
    path = str(tmp_path / "s.sock")
    supervisord = Supervisord(f"unix://{path}", None, None, "token")
    with answers_with(path, given), pytest.raises(Unreachable, match=why):
        supervisord.pid()
    Path(path).unlink()
    with answers_with(path, answer(9)):
        assert supervisord.pid() == 9
