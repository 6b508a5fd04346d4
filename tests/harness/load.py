"""Load at an exact, steady rate, and what became of every single request.

The load is open: each request has its due time whatever became of those before it, and
its wait is counted from that time, so a stall shows in every request that met it.
Nothing is ever sent a second time.
"""

from __future__ import annotations

import collections
import dataclasses
import http.client
import itertools
import json
import queue
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.harness.connections import Address, Connections
from tests.harness.waiting import wait_until


@dataclass
class Request:
    """One request. Times are monotonic; ``end`` is None while there is no answer yet."""

    number: int
    due: float
    start: float | None = None
    end: float | None = None
    status: int | None = None
    error: str = ""
    release: str = ""
    pid: int | None = None

    @property
    def failed(self) -> bool:
        return bool(self.error) or self.status != 200

    @property
    def wait_secs(self) -> float:
        """From when it was due until its answer, or its error, was there."""
        return (self.end if self.end is not None else self.due) - self.due


@dataclass(frozen=True)
class Summary:
    """What became of the load."""

    requests: tuple[Request, ...]
    #: How many connections the client opened.
    connections: int
    #: Keep-alive connections that the server had closed while they were idle. Nothing had
    #: been sent on them, so nothing was lost: the client opened another, as clients do.
    idle_closed: int

    @property
    def answered(self) -> Mapping[str, int]:
        """How many requests each release answered."""
        return collections.Counter(r.release for r in self.requests if not r.failed)

    @property
    def failed(self) -> list[Request]:
        return [r for r in self.requests if r.failed]

    def due_since(self, moment: float) -> list[Request]:
        """The requests that were due at ``moment`` (monotonic) or later."""
        return [r for r in self.requests if r.due >= moment]

    @property
    def refused(self) -> list[Request]:
        """Those whose connection was refused, or whose Unix path was not there."""
        return [
            r
            for r in self.requests
            if r.error.startswith(("ConnectionRefusedError", "FileNotFoundError"))
        ]

    @property
    def errors(self) -> Mapping[str, int]:
        """How often each error, or status other than 200, was met."""
        return collections.Counter(r.error or f"status {r.status}" for r in self.failed)

    @property
    def longest_wait_secs(self) -> float:
        return max((r.wait_secs for r in self.requests), default=0.0)

    @property
    def latest_start_secs(self) -> float:
        """How late the generator itself was at worst: to tell its delays from the server's."""
        return max((r.start - r.due for r in self.requests if r.start is not None), default=0.0)

    def __str__(self) -> str:
        answered = ", ".join(f"{n} by {release}" for release, n in sorted(self.answered.items()))
        errors = "".join(f"\n  {n} x {error}" for error, n in self.errors.items())
        return (
            f"{len(self.requests)} requests: {answered or 'none answered'}; "
            f"{len(self.failed)} failed; longest wait {self.longest_wait_secs * 1000:.0f} ms; "
            f"generator late by {self.latest_start_secs * 1000:.0f} ms at most{errors}"
        )


class Load:
    """``rate`` requests a second to ``address``, from ``start`` to ``stop``.

    Without ``keep_alive`` each request has a connection of its own; with it,
    ``connections`` are kept open and used in turn, with more only while all are busy.
    With ``trust_secs`` it does not look whether the server has closed one meanwhile, as little
    as one can know that across a network: it uses one that is idle for less, and no other.
    With ``tls`` it speaks that, and believes no certificate that this one does not.
    The load ends by itself after ``max_secs``, and never has more than
    ``max_in_flight`` requests waiting (a request past that starts late, and says so).
    """

    def __init__(
        self,
        address: Address,
        *,
        rate: float = 50.0,
        path: str = "/",
        host: str = "localhost",
        keep_alive: bool = False,
        connections: int = 8,
        trust_secs: float | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_secs: float = 30.0,
        max_secs: float = 120.0,
        max_in_flight: int = 400,
    ) -> None:
        self._rate = rate
        self._path = path
        self._headers = {"Host": host} if keep_alive else {"Host": host, "Connection": "close"}
        self._timeout_secs = timeout_secs
        self._max_secs = max_secs
        self._max_in_flight = max_in_flight
        self._connections = Connections(
            address, timeout_secs, connections if keep_alive else 0, trust_secs, tls
        )
        self._requests: list[Request] = []
        self._due: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._idle_threads = 0
        self._stopped = threading.Event()
        self._pacer = threading.Thread(target=self._pace, name="load pacer", daemon=True)

    def start(self) -> Load:
        self._pacer.start()
        return self

    def stop(self) -> Summary:
        """Send no more, wait for what is in flight (the timeout at most), and sum up."""
        self._stopped.set()
        self._pacer.join()
        for _ in self._threads:
            self._due.put(None)
        deadline = time.monotonic() + self._timeout_secs + 5
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._connections.close()
        return self.so_far()

    @property
    def sent(self) -> int:
        """How many requests were due until now."""
        return len(self._requests)

    def so_far(self) -> Summary:
        """The requests that were due until now; those in flight count as failed."""
        requests = []
        for request in list(self._requests):
            if request.end is None:
                request = dataclasses.replace(request, end=time.monotonic(), error="no answer yet")
            requests.append(request)
        return Summary(tuple(requests), self._connections.opened, self._connections.idle_closed)

    def answered_by(self, release: str) -> int:
        """How many requests ``release`` has answered until now."""
        return sum(1 for r in list(self._requests) if r.release == release and not r.failed)

    def __enter__(self) -> Load:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if not self._stopped.is_set():
            self.stop()

    def _pace(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / self._rate
            if due - began > self._max_secs:
                return
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            self._hand_out(Request(number, due))

    def _hand_out(self, request: Request) -> None:
        self._requests.append(request)
        with self._lock:
            if self._idle_threads:
                self._idle_threads -= 1
            elif len(self._threads) < self._max_in_flight:
                thread = threading.Thread(target=self._serve, name="load", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._due.put(request)

    def _serve(self) -> None:
        while (request := self._due.get()) is not None:
            self._send(request)
            with self._lock:
                self._idle_threads += 1

    def _send(self, request: Request) -> None:
        request.start = time.monotonic()
        connection = self._connections.take()
        try:
            connection.request("GET", self._path, headers=self._headers)
            response = connection.getresponse()
            body = response.read()
            request.status = response.status
            if response.status == 200:
                said = json.loads(body)
                request.release, request.pid = said["release"], said["pid"]
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            request.error = f"{type(error).__name__}: {error}"
            self._connections.drop(connection)
        else:
            if response.will_close:
                self._connections.drop(connection)
            else:
                self._connections.put_back(connection)
        request.end = time.monotonic()


@contextmanager
def steady(*loads: Load, before: int = 5, after: int = 10) -> Iterator[None]:
    """Have ``loads`` run while the body does, and for so many requests before and after it.

    Then they are stopped: ``so_far`` says what became of all of them.
    """
    try:
        for load in loads:
            load.start()
        for load in loads:
            wait_until(lambda load=load: load.sent >= before, 15, "requests go out")
        yield
        seen = [load.sent for load in loads]
        for load, sent in zip(loads, seen, strict=True):
            wait_until(lambda load=load, sent=sent: load.sent >= sent + after, 15, "requests go on")
    finally:
        for load in loads:
            load.stop()
