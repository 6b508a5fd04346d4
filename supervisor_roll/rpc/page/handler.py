"""The handler of supervisord's HTTP servers for all below /roll/: it copies bytes, and no more.

It stands behind the same password as supervisor's own page. What a browser says is an order in
the words of ``wire.mailbox``, checked as any other caller's, and only from this very page.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from hmac import compare_digest
from importlib import resources
from typing import Any

from supervisor.events import SupervisorRunningEvent, Tick5Event, subscribe
from supervisor.http import supervisor_auth_handler
from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rpc.page.documents import Document, Documents
from supervisor_roll.rpc.supervisor_types import HttpRequest, Supervisor
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import (
    LISTENING,
    MAX_DIGITS,
    MAX_REQUEST_BYTES,
    METRICS,
    STATUS,
    decode_command,
)

PATH = "/roll"
_FILES = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    METRICS: "text/plain; version=0.0.4; charset=utf-8",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_JOB = re.compile(r"jobs/([\w-]{1,80})\.json", re.ASCII)
_NUMBER = re.compile(rf"\?since=([0-9]{{1,{MAX_DIGITS + 5}}})")
# What supervisord copies at once to one client, and passes on in one pass of its loop.
_PIECE = 64 * 1024


class PageHandler:
    """``order`` and ``reports`` are the methods of XML-RPC; ``listener`` is its process's state."""

    IDENT = "supervisor_roll"

    def __init__(
        self,
        documents: Documents,
        token: str,
        order: Callable[[str], str],
        reports: Callable[[str, int], str],
        listener: Callable[[], str],
    ) -> None:
        """``token`` is in the page alone; who says it has read that."""
        self._documents, self._token = documents, token
        self._order, self._reports, self._listener = order, reports, listener
        folder = resources.files(__package__)
        self._files = {path: (folder / name).read_bytes() for path, name in _FILES.items()}
        self._files[""] = self._files[""].replace(b"{token}", token.encode())

    def match(self, request: HttpRequest) -> bool:
        return re.match(rf"{PATH}(?:[/?]|$)", request.uri) is not None

    def handle_request(self, request: HttpRequest) -> None:
        """Answer, now or later. Whatever a client can cause is an answer, too."""
        # Or each pass of supervisord's loop would send 4 KiB.
        request.channel.ac_out_buffer_size = _PIECE
        for name, value in _HEADERS.items():
            request[name] = value
        path, _, query, _ = request.split_uri()
        if path == PATH:
            request["Location"] = "roll/"  # whatever is in front of supervisord calls it
            request.error(302)
        elif request.command == "POST" and path == f"{PATH}/orders":
            self._take(request)
        elif request.command != "GET":
            refuse(request, 405, "only GET")
        else:
            self._get(request, path.removeprefix(f"{PATH}/"), query or "")

    def _get(self, request: HttpRequest, path: str, query: str) -> None:
        since = _NUMBER.fullmatch(query)
        number = int(since[1]) if since else None
        job = _JOB.fullmatch(path)
        name = path.removesuffix(".json")
        if path in self._files:
            file = self._files[path]
            request["Cache-Control"] = "no-cache"
            send(request, 200, file, _TYPES[_FILES[path].rpartition(".")[2]])
        elif job:
            _answer(request, lambda: self._reports(job[1], number or 0))
        elif path == "events":
            self._ask(request, STATUS, number)
        elif self._documents.has(name) and path == (name if name == METRICS else f"{name}.json"):
            self._ask(request, name, None)
        else:
            refuse(request, 404, "there is nothing of that name")

    def _ask(self, request: HttpRequest, name: str, number: int | None) -> None:
        listens = self._listener() in LISTENING
        reply = _Reply(request, name, self._listener)
        self._documents.ask(name, number, reply, wait=listens)

    def _take(self, request: HttpRequest) -> None:
        """Read an order, if it comes from this page."""
        length = request.get_header("Content-Length") or ""
        refused = _foreign(request, self._token)
        if refused:
            refuse(request, 403, refused)
        elif not re.fullmatch(r"[0-9]{1,9}", length):
            refuse(request, 411, "an order has a Content-Length")
        elif not 0 < int(length) <= MAX_REQUEST_BYTES:
            refuse(request, 413, f"an order has 1 to {MAX_REQUEST_BYTES} bytes")
        else:
            request.collector = _Body(request, lambda text: self._ordered(request, text))
            request.channel.set_terminator(int(length))

    def _ordered(self, request: HttpRequest, text: str) -> None:
        def order() -> str:
            try:
                ask = decode_command(text)
            except BadMessage as error:
                raise RPCError(Faults.BAD_ARGUMENTS, str(error)) from None
            return self._order(to_json(replace(ask, by=_by(request))))

        _answer(request, order)


class _Reply:
    """What ``Documents`` answers with."""

    def __init__(self, request: HttpRequest, name: str, listener: Callable[[], str]) -> None:
        self._request, self._name, self._listener = request, name, listener

    @property
    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        return bool(self._request.channel.socket.fileno() < 0)

    def answer(self, document: Document) -> None:
        """Send the document, with its number and the listener's state beside it."""
        request, state = self._request, self._listener()
        request["Roll-Number"] = document.number
        request["Roll-Listener"] = state
        if document.data is None:
            said = f"it is {state}" if state else "there is none"
            refuse(request, 503, f"the listener has not answered: {said}")
        elif self._name == METRICS and not document.data:
            refuse(
                request, 501, "metrics need prometheus_client, the extra supervisor_roll[metrics]"
            )
        else:
            send(request, 200, document.data, _TYPES.get(self._name, _TYPES["json"]))


class _Body:
    """What a request has after its header, of a length that is known: calls ``then`` with it."""

    def __init__(self, request: HttpRequest, then: Callable[[str], None]) -> None:
        self._request, self._then = request, then
        self._pieces: list[bytes] = []

    def collect_incoming_data(self, data: bytes) -> None:
        self._pieces.append(data)

    def found_terminator(self) -> None:
        self._request.channel.set_terminator(b"\r\n\r\n")
        self._request.collector = None
        self._then(b"".join(self._pieces).decode(errors="replace"))


class _Producer:
    """Gives out pieces of bytes that many share, so that a slow client holds no copy of them."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def more(self) -> bytes:
        piece, self._rest = bytes(self._rest[:_PIECE]), self._rest[_PIECE:]
        return piece


def install(
    supervisord: Supervisor,
    documents: Documents,
    order: Callable[[str], str],
    reports: Callable[[str, int], str],
    listener: Callable[[], str],
) -> None:
    """Put the page into each HTTP server of supervisord's, once these are there.

    Once for a Supervisor object, which forgets who listens to its events when it ends.
    """
    handler = PageHandler(documents, secrets.token_hex(16), order, reports, listener)

    def running(event: object) -> None:
        for config, server in supervisord.options.httpservers:
            guarded: Any = handler
            if config["username"]:
                guarded = supervisor_auth_handler({config["username"]: config["password"]}, handler)
            server.install_handler(guarded)

    subscribe(SupervisorRunningEvent, running)
    subscribe(Tick5Event, lambda event: documents.tick())


def send(request: HttpRequest, code: int, data: bytes, type: str) -> None:
    request.reply_code = code
    request["Content-Type"], request["Content-Length"] = type, len(data)
    request.push(_Producer(data))
    request.done()


def refuse(request: HttpRequest, code: int, why: str) -> None:
    """Say why not, and read no more of what this client has to say."""
    request["Connection"] = "close"
    request.channel.set_terminator(None)
    send(request, code, why.encode() + b"\n", _TYPES["text"])
    request.channel.close_when_done()


def _answer(request: HttpRequest, method: Callable[[], str]) -> None:
    """Send what a method of XML-RPC's gives, or its fault."""
    try:
        code, text = 200, method()
    except RPCError as fault:
        code, text = 400, json.dumps({"error": fault.text})
    send(request, code, text.encode(), _TYPES["json"])


def _foreign(request: HttpRequest, token: str) -> str:
    """Say how it is to be seen that an order is not from our page; empty if it is."""
    said = request.get_header("X-Roll-Token") or ""
    if not compare_digest(said.encode(errors="replace"), token.encode()):
        return "the token is not this page's: load the page again"
    site = request.get_header("Sec-Fetch-Site")
    origin, host = request.get_header("Origin"), request.get_header("Host")
    # A proxy may have changed the host; the browser knows better, where it says so.
    if site != "same-origin" if site else origin and origin.partition("://")[2] != host:
        return "it comes from a page of another site"
    return ""


def _by(request: HttpRequest) -> str:
    user = getattr(request, "auth_info", [""])[0]
    address = request.channel.addr
    of = address[0] if isinstance(address, tuple) and address else "a Unix socket"
    return f"page /roll/ ({user or 'no password'}@{of})"
