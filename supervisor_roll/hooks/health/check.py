"""The health check: one request to the application, made inside the worker that has loaded it.

How it is made of a WSGI application; ``asgi`` and ``tornado`` have the other kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from supervisor_roll.wire.messages import Ack

USER_AGENT = "supervisor_roll health check"


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
        """Say that there was no answer in time, in place of a status line."""
        return f"no answer within {self.timeout_secs:g} s"

    @classmethod
    def from_answer(cls, answer: Ack) -> Check | None:
        """Return the check that ``answer`` asks for; None if it asks for none."""
        if not answer.health:
            return None
        headers = tuple(
            (name, value.strip())
            for name, _, value in (line.partition(":") for line in answer.health_headers)
        )
        return cls(answer.health, answer.health_host, headers, answer.health_timeout_secs)


def status_line(code: int) -> str:
    """Write an HTTP status as its line has it, such as "200 OK"."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def raised(error: BaseException) -> str:
    """Say that the application raised, in place of a status line."""
    try:
        return f"raised {type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - its own __str__ raises
        return f"raised {type(error).__name__}"


def passed(status: str) -> bool:
    """Whether a status line, or what stands for it, is a 2xx."""
    return len(status) >= 3 and status[:3].isdigit() and status[0] == "2"
