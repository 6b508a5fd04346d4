"""Websockets and streams in a rollout: what ends within ``drain_timeout_secs`` ends by itself,
and a websocket that does not is told so. ``graceful_timeout`` is no bound."""

from __future__ import annotations

import http.client
import threading
import time

from tests.harness import MakeSite, Program, free_port, wait_until
from tests.harness.command import Command
from tests.harness.connections import connected
from tests.harness.websocket import WebSocket

#: Longer than any worker class takes to stop by itself, with the ``graceful_timeout`` below.
STREAM_SECS = 9
NORMAL, SERVICE_RESTART = 1000, 1012
#: A worker has been told to stop by then, and has had longer than it takes by itself.
AFTER_SECS = 5
WEBSOCKETS = {
    "asgi": ("asgi", "asgi_app:app"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "asgi_app:app"),
    "native": ("tornado", "tornado_app:app"),
}
CLASSES = WEBSOCKETS | {"gevent": ("gevent", "plain:app"), "gthread": ("gthread", "plain:app")}


class Stream(threading.Thread):
    """What came of a long answer, after ``join``."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.began = threading.Event()
        self.body = b""
        self._port = port

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", f"/stream?secs={STREAM_SECS}")
        answer = connection.getresponse()
        self.body = answer.read(1)
        self.began.set()
        try:
            self.body += answer.read()
        except (OSError, http.client.HTTPException):
            pass
        connection.close()


def answered_by(port: int) -> bytes:
    with connected(port) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with sock.makefile("rb") as answer:
            return answer.read().partition(b'"pid":')[2].split(b"}")[0].split(b",")[0]


def programs(classes: dict[str, tuple[str, str]], drain_secs: int) -> list[Program]:
    """One of each class for each strategy."""
    return [
        Program(
            name=f"{name}_{strategy}",
            worker_class=worker_class,
            app=app,
            workers=1,
            port=free_port(),
            gunicorn="27.0.1",
            conf="control_socket_disable = True\ngraceful_timeout = 2\n"
            f"threads = {4 if name == 'gthread' else 1}",
            roll={"strategy": strategy, "drain_timeout_secs": str(drain_secs)},
        )
        for name, (worker_class, app) in classes.items()
        for strategy in ("workers", "arbiter")
    ]


def succeeded(commands: dict[str, Command]) -> None:
    for command in commands.values():
        command.ends(deadline_secs=120)


def test_what_ends_by_itself_is_not_cut(make_site: MakeSite) -> None:
    some = programs(CLASSES, 90)
    site = make_site(*some, start=False).start(90)  # there are many
    ports = {one.name: int(site.address(one.name)) for one in some}
    talking = {name: port for name, port in ports.items() if name.split("_")[0] in WEBSOCKETS}
    before = {name: answered_by(port) for name, port in talking.items()}
    websockets = {name: WebSocket(port) for name, port in talking.items()}
    streams = {name: Stream(port) for name, port in ports.items()}
    for stream in streams.values():
        stream.start()
    for name, stream in streams.items():
        assert stream.began.wait(30), name
    commands = {name: site.ctl_start("rollrestart", name) for name in ports}

    def echo() -> None:
        for name, websocket in websockets.items():
            assert websocket.echoed(f"{name} is there") == f"{name} is there"

    def replaced() -> bool:
        echo()
        return all(answered_by(port) != before[name] for name, port in talking.items())

    wait_until(replaced, 60, "others answer")
    until = time.monotonic() + AFTER_SECS
    while time.monotonic() < until:
        echo()
        time.sleep(0.2)
    codes = {name: websocket.close() for name, websocket in websockets.items()}
    assert codes == dict.fromkeys(talking, NORMAL)
    succeeded(commands)
    for stream in streams.values():
        stream.join()
    assert not {name: stream.body for name, stream in streams.items() if b"end" not in stream.body}


def test_a_websocket_that_stays_is_told_that_the_service_restarts(make_site: MakeSite) -> None:
    some = programs(WEBSOCKETS, 6)
    site = make_site(*some, start=False).start(90)
    websockets = {one.name: WebSocket(int(site.address(one.name))) for one in some}
    commands = {name: site.ctl_start("rollrestart", name) for name in websockets}
    codes = {name: websocket.close_code() for name, websocket in websockets.items()}
    assert codes == dict.fromkeys(websockets, SERVICE_RESTART)
    succeeded(commands)
