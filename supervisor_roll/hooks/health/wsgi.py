"""The health check of a WSGI application: a request made in the worker's own process."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from supervisor_roll.hooks.health.check import Check, raised
from supervisor_roll.hooks.health.checker import StartupGate
from supervisor_roll.hooks.health.request_counts import RequestCounter, request_answered

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker


def call_wsgi(worker: Worker, check: Check) -> str:
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


def _environ(worker: Worker, check: Check) -> dict[str, Any]:
    """Make a complete environ (PEP 3333), with Gunicorn's own keys."""
    from gunicorn.http.wsgi import FileWrapper

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
        "wsgi.multithread": worker.cfg.threads > 1,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
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


class WsgiChecker:
    """A WSGI application is simply called: in the main thread, which is then ours."""

    busy = False
    failure = ""

    def __init__(self, worker: Worker) -> None:
        self.status = ""
        self._worker = worker
        self._theirs: Callable[..., None] | None = None

    def before_accept(self, check: Check | None, gate: StartupGate) -> None:
        while check is not None and not gate.leaving:
            self.status = call_wsgi(self._worker, check)
            wait = gate.judge(self.status)
            if wait is None:
                return
            time.sleep(wait)

    def start(self, check: Check, then: Callable[[], None]) -> None:
        self.status = call_wsgi(self._worker, check)
        then()

    def count(self, counter: RequestCounter | None) -> None:
        """Gunicorn's own WSGI workers call ``post_request``, the user's or a default, for each.

        It is put back after the watch, so that it costs nothing else.
        """
        setting = self._worker.cfg.settings["post_request"]
        if counter is not None and self._theirs is None:
            theirs = self._theirs = setting.get()

            def counted(worker: Any, req: Any, environ: Any, resp: Any) -> None:
                request_answered(counter, resp)
                theirs(worker, req, environ, resp)

            setting.value = counted
        elif counter is None and self._theirs is not None:
            setting.value, self._theirs = self._theirs, None

    def later(self, secs: float, call: Callable[[], None]) -> None:
        """Heartbeats come each second at least."""
