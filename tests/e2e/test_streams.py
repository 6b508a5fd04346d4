"""Websockets and streams in a rollout: what ends within ``drain_timeout_secs`` ends by itself,
and a websocket that does not is told so. ``graceful_timeout`` is no bound."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable

from harness import Program, Site, free_port, gunicorn_venv, wait_until
from harness.connections import connected
from harness.websocket import WebSocket

DRAIN_SECS = 16
#: Longer than any worker class takes to stop by itself, with the ``graceful_timeout`` below.
STREAM_SECS = 9
SERVICE_RESTART = 1012
WEBSOCKETS = {
    "asgi": ("asgi", "asgi_app:app"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "asgi_app:app"),
    "native": ("tornado", "tornado_app:app"),
}
CLASSES = WEBSOCKETS | {
    "gevent": ("gevent", "plain:app"),
    "gthread": ("gthread", "plain:app"),
}


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


def test_each_ends_as_it_should(make_site: Callable[..., Site]) -> None:
    gunicorn = gunicorn_venv(
        "27.0.1", "gevent", "packaging", "tornado", "uvicorn", "uvicorn-worker", "websockets"
    )
    programs = {
        f"{name}_{strategy}": Program(
            name=f"{name}_{strategy}",
            worker_class=worker_class,
            app=app,
            workers=1,
            port=free_port(),
            gunicorn=gunicorn,
            conf="control_socket_disable = True\ngraceful_timeout = 2\n"
            f"threads = {4 if name == 'gthread' else 1}",
            roll={"strategy": strategy, "drain_timeout_secs": str(DRAIN_SECS)},
        )
        for name, (worker_class, app) in CLASSES.items()
        for strategy in ("workers", "arbiter")
    }
    site = make_site(*programs.values())
    ports = {name: int(site.address(name)) for name in programs}
    streams = {name: Stream(port) for name, port in ports.items()}
    for stream in streams.values():
        stream.start()
    for name, stream in streams.items():
        assert stream.began.wait(30), name
    talking = {name for name in programs if name.split("_")[0] in WEBSOCKETS}
    ending = {name: WebSocket(ports[name]) for name in talking}
    staying = {name: WebSocket(ports[name]) for name in talking}
    before = {name: answered_by(port) for name, port in ports.items()}
    commands = {name: site.ctl_start("rollrestart", name) for name in programs}

    def replaced() -> bool:
        for websocket in ending.values():
            assert websocket.echoed("still there") == "still there"
        return all(answered_by(ports[name]) != before[name] for name in talking for _ in range(3))

    wait_until(replaced, 60, "others answer")
    for _ in range(15):
        for name, websocket in ending.items():
            assert websocket.echoed("go on") == "go on", name
        time.sleep(0.2)
    assert {name: websocket.close() for name, websocket in ending.items()} == dict.fromkeys(
        talking, 1000
    )
    assert {name: websocket.close_code() for name, websocket in staying.items()} == dict.fromkeys(
        talking, SERVICE_RESTART
    )
    for name, command in commands.items():
        ran = command.wait()
        assert ran.status == 0, (name, ran.output)
    for stream in streams.values():
        stream.join()
    assert not {name: stream.body for name, stream in streams.items() if b"end" not in stream.body}
