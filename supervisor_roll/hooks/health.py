"""The health check: one request to the application, made inside the worker that has loaded it.

How it is made of a WSGI application; ``asgi`` and ``tornado`` have the other kinds.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import FrameType
from typing import Any
from urllib.parse import unquote

from supervisor_roll.wire.datagram import Message

USER_AGENT = "supervisor_roll health check"
# Worker classes of others whose applications, callable or not, are no WSGI.
_NO_WSGI = frozenset({"uvicorn", "uvicorn_worker", "aiohttp"})


@dataclass(frozen=True)
class Check:
    """What to ask of the application, as the listener's answer says it. Durations in seconds."""

    path: str
    host: str
    headers: tuple[tuple[str, str], ...]
    timeout_secs: float

    @property
    def scheme(self) -> str:
        """What a proxy in front says the scheme is, if a header is to say so."""
        return next(
            (value for name, value in self.headers if name.lower() == "x-forwarded-proto"), "http"
        )

    @property
    def all_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers with those that are ours beside, unless they are given."""
        given = {name.lower() for name, _ in self.headers}
        ours = (("Host", self.host), ("User-Agent", USER_AGENT))
        return (*(one for one in ours if one[0].lower() not in given), *self.headers)

    @property
    def server(self) -> tuple[str, int]:
        """The host, without the brackets of an IPv6 address, and the port."""
        host, _, port = self.host.rpartition(":")
        return (host.strip("[]"), int(port)) if port.isdigit() else (self.host.strip("[]"), 80)

    def too_late(self) -> str:
        """What stands for the status line where there was no answer in time."""
        return f"no answer within {self.timeout_secs:g} s"

    @classmethod
    def from_answer(cls, answer: Message) -> Check | None:
        """The check that ``answer`` asks for; None if it asks for none."""
        path = answer.fields.get("HEALTH")
        if not path:
            return None
        lines = answer.fields.get("HEALTH_HEADERS", "").splitlines()
        headers = tuple(
            (name, value.strip())
            for name, _, value in (line.partition(":") for line in lines if line)
        )
        return cls(
            path,
            answer.fields.get("HEALTH_HOST", "localhost"),
            headers,
            answer.number("HEALTH_TIMEOUT_SECS", 5.0),
        )


def is_wsgi(worker: Any) -> bool:
    """Whether the worker's application can be called as WSGI.

    uvicorn's workers keep an ASGI application in ``worker.wsgi``, and what Tornado's HTTP server
    takes itself cannot be called with an environ.
    """
    application = getattr(worker, "wsgi", None)
    return callable(application) and not is_tornado(application) and not homes_of(worker) & _NO_WSGI


def is_tornado(application: Any) -> bool:
    """Whether it is what Tornado's HTTP server takes itself."""
    natives = [("tornado.web", "Application"), ("tornado.wsgi", "WSGIContainer")]
    return any(
        isinstance(application, getattr(sys.modules.get(module), name, ()))
        for module, name in natives
    )


def homes_of(worker: Any) -> set[str]:
    """The packages that the worker's class and its bases are from."""
    return {base.__module__.partition(".")[0] for base in type(worker).__mro__}


def status_line(code: int) -> str:
    """An HTTP status as its line has it, such as "200 OK"."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def raised(error: BaseException) -> str:
    """What stands for the status line where the application raised."""
    try:
        return f"raised {type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - its own __str__ raises
        return f"raised {type(error).__name__}"


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
        return check.too_late()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the application's, whatever it is
        return raised(error)
    return statuses[-1] if statuses else "start_response was not called"


def _environ(worker: Any, check: Check) -> dict[str, Any]:
    """A complete environ (PEP 3333), with Gunicorn's own keys beside."""
    path, _, query = check.path.partition("?")
    host, port = check.server
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": check.path,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "supervisor_roll",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": check.scheme,
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
    for name, value in check.all_headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


class _TimedOut(BaseException):
    """Not an Exception: an application that catches those must not catch this."""


@contextmanager
def _time_limit(secs: float) -> Iterator[None]:
    """End what runs after ``secs`` by _TimedOut. Only a main thread has signals to do it with."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    gevent = _gevent()
    ours = gevent and gevent.getcurrent()

    def alarm(signum: int, frame: FrameType | None) -> None:
        # Under gevent it may interrupt its hub, or a greenlet that has nothing to do with this.
        if gevent is None or gevent.getcurrent() is ours:
            raise _TimedOut

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, secs)
    try:
        if gevent is None:
            yield
        else:
            with gevent.Timeout(secs, _TimedOut()):
                yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _gevent() -> Any:
    """gevent, where it has replaced how the standard library waits; else None."""
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("time")
    return sys.modules["gevent"] if patched else None
