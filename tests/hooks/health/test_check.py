"""The health check is one proper request, and whatever the application does ends as a status."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from wsgiref.validate import validator

import pytest

from supervisor_roll.hooks.by_worker_class import checker_for
from supervisor_roll.hooks.health.check import Check, passed
from supervisor_roll.hooks.health.wsgi import WsgiChecker, call_wsgi
from supervisor_roll.wire.messages import Ack

CHECK = Check("/_status", "www.example.org", (), 30.0)


class Worker:
    """As much of a Gunicorn worker as a check looks at."""

    def __init__(self, wsgi: Any, threads: int = 1) -> None:
        self.wsgi = wsgi
        self.cfg = SimpleNamespace(threads=threads)


class Body:
    """A response body that knows whether it was read and closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.read: list[bytes] = []
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.read.append(chunk)
            yield chunk

    def close(self) -> None:
        self.closed += 1


def ok(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]


def environ_of(check: Check, threads: int = 1) -> dict[str, Any]:
    """The environ that the application is called with."""
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(dict(environ))
        return ok(environ, start_response)

    assert call_wsgi(Worker(application, threads), check) == "200 OK"
    return seen[0]


@pytest.mark.parametrize(
    "check",
    [
        CHECK,
        Check("/", "localhost", (), 30.0),
        Check(
            "/_status?deep=1&x",
            "www.example.org:8443",
            (
                ("X-Forwarded-Proto", "https"),
                ("Content-Type", "text/plain"),
                ("Content-Length", "0"),
                ("Cookie", "a=b"),
            ),
            30.0,
        ),
    ],
)
def test_the_request_is_proper_wsgi(check: Check) -> None:
    assert call_wsgi(Worker(validator(ok)), check) == "200 OK"


def test_the_request_is_what_the_settings_say() -> None:
    environ = environ_of(
        Check(
            "/_status?deep=1",
            "www.example.org:8443",
            (("X-Forwarded-Proto", "https"), ("Accept", "text/plain"), ("content-type", "a/b")),
            30.0,
        )
    )
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == "/_status"
    assert environ["QUERY_STRING"] == "deep=1"
    assert environ["RAW_URI"] == "/_status?deep=1"
    assert environ["HTTP_HOST"] == "www.example.org:8443"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("www.example.org", "8443")
    assert environ["HTTP_ACCEPT"] == "text/plain"
    assert environ["CONTENT_TYPE"] == "a/b"
    assert environ["HTTP_X_FORWARDED_PROTO"] == environ["wsgi.url_scheme"] == "https"
    assert environ["wsgi.input"].read() == b""


def test_a_header_may_replace_what_stands_there_by_default() -> None:
    environ = environ_of(
        Check("/", "localhost", (("User-Agent", "probe"), ("Host", "other.example.org")), 30.0)
    )
    assert environ["HTTP_USER_AGENT"] == "probe"
    assert environ["HTTP_HOST"] == "other.example.org"


def test_a_worker_with_threads_says_so() -> None:
    assert environ_of(CHECK)["wsgi.multithread"] is False
    assert environ_of(CHECK, threads=4)["wsgi.multithread"] is True


def test_the_body_is_read_to_its_end_and_closed_once() -> None:
    body = Body([b"a", b"b"])

    def application(environ: dict[str, Any], start_response: Any) -> Body:
        start_response("204 No Content", [])
        return body

    assert call_wsgi(Worker(application), CHECK) == "204 No Content"
    assert (body.read, body.closed) == ([b"a", b"b"], 1)


def test_the_body_is_closed_if_reading_it_fails() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a"
        raise OSError("disk gone")

    body = Body(chunks())

    def application(environ: dict[str, Any], start_response: Any) -> Body:
        start_response("200 OK", [])
        return body

    assert call_wsgi(Worker(application), CHECK) == "raised OSError: disk gone"
    assert body.closed == 1


def test_a_generator_that_starts_its_response_late_is_heard() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("503 Service Unavailable", [])
        yield b"not yet"

    assert call_wsgi(Worker(application), CHECK) == "503 Service Unavailable"


def test_the_last_status_counts() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise LookupError("late")
        except LookupError:
            start_response("500 Internal Server Error", [], sys.exc_info())
        return []

    assert call_wsgi(Worker(application), CHECK) == "500 Internal Server Error"


def test_an_application_may_write_as_old_ones_do() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"written")
        return []

    assert call_wsgi(Worker(application), CHECK) == "200 OK"


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (ValueError("no database"), "raised ValueError: no database"),
        (SystemExit(3), "raised SystemExit: 3"),
    ],
)
def test_what_the_application_raises_becomes_the_status(raised: BaseException, status: str) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise raised

    assert call_wsgi(Worker(application), CHECK) == status


def test_what_is_no_response_becomes_a_status_that_fails() -> None:
    for application in (
        lambda environ, start_response: [b"x"],
        lambda environ, start_response: None,
        lambda environ: [b"x"],
    ):
        status = call_wsgi(Worker(application), CHECK)
        assert status and not passed(status)
    assert call_wsgi(Worker(lambda environ, start_response: []), CHECK) == (
        "start_response was not called"
    )


@pytest.mark.parametrize("where", ["call", "body", "guarded"])
def test_a_hang_is_cut_and_the_alarm_is_put_back(where: str) -> None:
    def hang() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(60)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        if where == "call":
            hang()
        elif where == "guarded":
            try:
                hang()
            except Exception:  # noqa: BLE001 - as applications do
                return [b"swallowed"]
        return (hang() or b"" for _ in range(1))

    def mine(signum: int, frame: Any) -> None:
        raise AssertionError("an alarm was left behind")

    before = signal.signal(signal.SIGALRM, mine)
    try:
        began = time.monotonic()
        status = call_wsgi(Worker(application), Check("/", "localhost", (), 0.2))
        assert time.monotonic() - began < 30
        assert status == "no answer within 0.2 s"
        assert signal.getsignal(signal.SIGALRM) is mine
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_check_outside_the_main_thread_is_made_without_an_alarm() -> None:
    statuses: list[str] = []
    thread = threading.Thread(target=lambda: statuses.append(call_wsgi(Worker(ok), CHECK)))
    thread.start()
    thread.join(30)
    assert statuses == ["200 OK"]


@pytest.mark.parametrize(
    ("status", "good"),
    [
        ("200 OK", True),
        ("204 No Content", True),
        ("299 Own", True),
        ("200", True),
        ("199 Early", False),
        ("301 Moved", False),
        ("404 Not Found", False),
        ("500 No", False),
        ("", False),
        ("2", False),
        ("2xx", False),
        ("no answer within 2 s", False),
        ("raised ValueError: 200", False),
    ],
)
def test_only_a_2xx_passes(status: str, good: bool) -> None:
    assert passed(status) is good


def test_what_to_check_comes_with_the_listeners_answer() -> None:
    answer = Ack(
        health="/_status",
        health_host="www.example.org",
        health_timeout_secs=2.5,
        health_headers=("X-Forwarded-Proto: https", "X-Empty:", "X-Colon: a:b"),
    )
    assert Check.from_answer(answer) == Check(
        "/_status",
        "www.example.org",
        (("X-Forwarded-Proto", "https"), ("X-Empty", ""), ("X-Colon", "a:b")),
        2.5,
    )


@pytest.mark.parametrize("fields", [{}, {"health": ""}, {"health_host": "www.example.org"}])
def test_an_answer_without_a_path_asks_for_no_check(fields: dict[str, str]) -> None:
    assert Check.from_answer(Ack(**fields)) is None


def is_wsgi(worker: Any) -> bool:
    return isinstance(checker_for(worker), WsgiChecker)


def test_only_a_wsgi_application_is_called_as_one() -> None:
    assert is_wsgi(Worker(ok))
    assert not is_wsgi(Worker(None))
    asgi = Worker(ok)
    del asgi.wsgi  # Gunicorn's own asgi worker keeps its application in worker.asgi
    assert not is_wsgi(asgi)
    for module in ("uvicorn.workers", "uvicorn_worker", "uvicorn_worker._workers"):
        uvicorn = type("UvicornWorker", (Worker,), {"__module__": module})
        assert not is_wsgi(uvicorn(ok))
        assert not is_wsgi(type("Mine", (uvicorn,), {"__module__": "app.workers"})(ok))


def test_a_native_tornado_application_is_no_wsgi(monkeypatch: pytest.MonkeyPatch) -> None:
    class Application:
        def __call__(self, request: Any) -> None:
            raise AssertionError("it takes no environ")

    web = ModuleType("tornado.web")
    web.Application = Application
    monkeypatch.setitem(sys.modules, "tornado.web", web)
    package = ModuleType("tornado")
    package.version_info = (6, 5)
    monkeypatch.setitem(sys.modules, "tornado", package)
    tornado = type("TornadoWorker", (Worker,), {"__module__": "gunicorn.workers.gtornado"})
    assert not is_wsgi(tornado(Application()))
    assert is_wsgi(tornado(ok))  # a WSGI application runs in it as well


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("shop.example", ("shop.example", 80)),
        ("shop.example:8080", ("shop.example", 8080)),
        ("[::1]", ("::1", 80)),
        ("[::1]:8080", ("::1", 8080)),
    ],
)
def test_a_hosts_port_and_brackets_are_no_part_of_its_name(
    host: str, server: tuple[str, int]
) -> None:
    assert Check("/", host, (), 1.0).server == server
