"""The health check: one request to the application, made inside the worker that has loaded it."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from supervisor_roll.wire.datagram import Message


@dataclass(frozen=True)
class Check:
    """What to ask of the application, as the listener's answer says it. Durations in seconds."""

    path: str
    host: str
    headers: tuple[tuple[str, str], ...]
    timeout_secs: float

    @classmethod
    def from_answer(cls, answer: Message) -> Check | None:
        """The check that ``answer`` asks for; None if it asks for none."""
        path = answer.fields.get("HEALTH")
        if not path:
            return None
        lines = answer.fields.get("HEALTH_HEADERS", "").splitlines()
        headers = tuple((name, value.strip()) for name, _, value in (
            line.partition(":") for line in lines if line))
        return cls(path, answer.fields.get("HEALTH_HOST", "localhost"), headers,
                   answer.number("HEALTH_TIMEOUT_SECS", 5.0))


def is_wsgi(worker: Any) -> bool:
    """Whether the worker's application can be called as WSGI.

    uvicorn's workers keep an ASGI application in ``worker.wsgi``, and a Tornado
    ``web.Application`` there cannot be called with an environ.
    """
    application = getattr(worker, "wsgi", None)
    homes = {base.__module__.partition(".")[0] for base in type(worker).__mro__}
    tornado = sys.modules.get("tornado.web")
    native = tornado is not None and isinstance(application, tornado.Application)
    return callable(application) and not native and not homes & {"uvicorn", "uvicorn_worker"}


def passed(status: str) -> bool:
    """Whether a status line, or what stands for it, is a 2xx."""
    return len(status) >= 3 and status[:3].isdigit() and status[0] == "2"


def call_wsgi(worker: Any, check: Check) -> str:
    """Ask the WSGI application and return its status line, or in words why there is none."""
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)
        return lambda data: None

    try:
        with _time_limit(check.timeout_secs):
            body: Iterable[bytes] = worker.wsgi(_environ(worker, check), start_response)
            try:
                for _ in body:
                    pass
            finally:
                close = getattr(body, "close", None)
                if close is not None:
                    close()
    except _TimedOut:
        return f"no answer within {check.timeout_secs:g} s"
    except Exception as error:  # noqa: BLE001 - the application's, whatever it is
        return f"raised {type(error).__name__}: {error}"
    except SystemExit as error:
        return f"raised SystemExit: {error}"
    return statuses[-1] if statuses else "start_response was not called"


def _environ(worker: Any, check: Check) -> dict[str, Any]:
    """A complete environ (PEP 3333), with Gunicorn's own keys beside."""
    path, _, query = check.path.partition("?")
    host, _, port = check.host.partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": check.path,
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "supervisor_roll",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0",
        "HTTP_HOST": check.host,
        "HTTP_USER_AGENT": "supervisor_roll health check",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": getattr(worker.cfg, "threads", 1) > 1,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    try:
        from gunicorn.http.wsgi import FileWrapper
        environ["wsgi.file_wrapper"] = FileWrapper
    except ImportError:
        pass
    for name, value in check.headers:
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        if key == "X_FORWARDED_PROTO":
            environ["wsgi.url_scheme"] = value
    return environ


class _TimedOut(BaseException):
    """Not an Exception: an application that catches those must not catch this."""


@contextmanager
def _time_limit(secs: float) -> Iterator[None]:
    """End what runs after ``secs`` by _TimedOut. Only a main thread has signals to do it with."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def alarm(signum: int, frame: FrameType | None) -> None:
        raise _TimedOut

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, secs)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
