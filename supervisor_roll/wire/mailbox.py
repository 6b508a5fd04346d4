"""What crosses the mailbox inside supervisord, as values and as JSON text.

supervisorctl puts in an ``Command``; supervisord makes a ``Request`` of it, which the listener
takes in an ``Exchange``. The listener's ``Report`` and ``Status`` come back the same way.

A decoder ignores keys that it does not know, and only insists on those without a default:
after an upgrade of this package supervisord still runs the old code while the listener and
supervisorctl run the new. All text is ASCII (JSON escapes the rest), so that no control
character can break the XML around it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any, TypeVar

from supervisor_roll.rollout.errors import BadMessage

# What is asked.
ROLLOUT, DRY_RUN = "rollout", "dry-run"
UPDATE = "update"  # roll what the configuration has changed; names are programs or "all"
ABORT, PAUSE, RESUME = "abort", "pause", "resume"
ASKED = (ROLLOUT, DRY_RUN, UPDATE, ABORT, PAUSE, RESUME)

# How a program is replaced.
WORKERS, ARBITER = "workers", "arbiter"

# A report's kinds, with the facts that each carries.
QUEUED = "queued"  # behind
# With strategy arbiter also: reasons (texts), changes (key -> effect, as in wire.succession)
BEGAN = "began"  # workers, desired, ready, max_surge, max_unavailable, arbiter, strategy
REPLACED = "replaced"  # old, new, boot_secs, health, done, total
# Of strategy arbiter alone:
SUCCEEDED = "succeeded"  # old, new: the pid of the arbiter that serves, and of its successor
ARRIVED = "arrived"  # pid, boot_secs, health, done, total: a worker of the successor is available
PROMOTED = "promoted"  # old, new: the successor has the program's name; the old arbiter drains
LEFT = "left"  # pid, why
STUCK = "stuck"  # pid, secs, signal
WARNING = "warning"  # text
NOTE = "note"  # text; nothing to worry about
BROKEN = "broken"  # why, pid
# These end a program's part: why, secs, replaced, total, min_ready, desired, count, outdated, fresh
COMPLETE, FAILED, ABORTED = "complete", "failed", "aborted"
REFUSED, SKIPPED = "refused", "skipped"  # why; nothing was touched
# What a rollout would do, as asked by a dry run; it ends the program's part, and nothing was
# touched: workers, desired, ready, max_surge, max_unavailable, strategy, boot_secs,
# estimated_secs, preflight (ok, secs, text, or null), memory (per_worker_bytes, extra_bytes,
# available_bytes, fits, text, or null), processes (extra, available, fits, text, or null: they are
# not limited), health, reasons (texts: why this strategy), changes
# (key -> effect, as in wire.succession), refused (why a rollout would be refused, or "")
PLAN = "plan"
FINAL = frozenset({COMPLETE, FAILED, ABORTED, REFUSED, SKIPPED, PLAN})

# A status' states beside complete, failed and aborted. IDLE: never rolled.
PROGRESSING, PAUSED, IDLE = "progressing", "paused", "idle"

# The states (supervisor's names) of a listener's process that will take a request.
LISTENING = frozenset({"RUNNING", "STARTING", "BACKOFF"})
# How a fault begins that says that there is no listener, and how if one is on its way.
NO_LISTENER = "no listener"
NO_LISTENER_YET = "the listener has not connected yet"

# What the listener alone has in its environment, and shows with what it alone may ask for.
TOKEN_VARIABLE = "SUPERVISOR_ROLL_TOKEN"

# What anybody who may speak to supervisord may make it read, and keep: a request has some
# names and a few settings.
MAX_REQUEST_BYTES = 64 * 1024
MAX_BY_CHARS = 80
MAX_NAME_CHARS = 1024
# The listener's alone: it holds the saved state of all programs, some 300 bytes a worker.
MAX_EXCHANGE_BYTES = 16 * 1024 * 1024

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Command:
    """What an operator asks: ``names`` are as given, ``values`` only the settings given."""

    kind: str
    names: list[str]
    values: dict[str, str] = field(default_factory=dict)
    by: str = ""


@dataclass(frozen=True)
class Receipt:
    """What supervisord answers: the programs that it passed on, and those skipped, with why."""

    id: str
    programs: list[str]
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """What the listener is to do. ``at`` is in seconds since the epoch."""

    id: str
    kind: str
    programs: list[str]
    values: dict[str, str] = field(default_factory=dict)
    by: str = ""
    at: float = 0.0
    wildcard: bool = False


@dataclass(frozen=True)
class Report:
    """One thing that happened to one program in a job. ``seq`` grows within a job, from 1."""

    job: str
    program: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0
    seq: int = 0


@dataclass(frozen=True)
class Status:
    """A program's last rollout. ``since`` and ``ended`` are in seconds since the epoch.

    ``outdated`` and ``fresh`` are the pids of the workers that run now, by that rollout's
    measure; ``releases`` says of each what it runs, if that is known. ``backing_off`` says why
    boots fail outside a rollout, empty if they do not.
    """

    state: str
    since: float
    by: str = ""
    job: str = ""
    why: str = ""
    done: int = 0
    total: int = 0
    ready: int = 0
    desired: int = 0
    min_ready: int = 0
    ended: float | None = None
    outdated: list[int] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    releases: dict[str, str] = field(default_factory=dict)  # pid -> release
    backing_off: str = ""
    strategy: str = WORKERS
    arbiter: int = 0  # the pids of the arbiter that has the program's name, of its successor,
    successor: int = 0  # and of the one that drains after it; 0: there is none
    retiring: int = 0


@dataclass(frozen=True)
class Exchange:
    """What the listener says: ``state`` None keeps what was saved, ``statuses`` None changes none.

    ``hello`` is a listener's first word after its start; ``trouble`` is what is wrong with
    itself.
    """

    pid: int
    hello: bool = False
    state: str | None = None
    reports: list[Report] = field(default_factory=list)
    statuses: dict[str, Status] | None = None
    taken: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    trouble: str = ""


@dataclass(frozen=True)
class Delivery:
    """What the listener is answered. ``state`` and ``jobs`` are only filled for a ``hello``.

    ``jobs`` are the ids of jobs that an earlier listener took and did not end: one that
    the saved state does not tell of is to be ended, since somebody may wait for it.
    """

    requests: list[Request] = field(default_factory=list)
    state: str = ""
    config: str = ""
    jobs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reports:
    """Reports after the one asked for. ``listener`` is its process' state, "" if there is none."""

    reports: list[Report] = field(default_factory=list)
    done: bool = False
    listener: str = ""


@dataclass(frozen=True)
class Job:
    """A request that is not done."""

    id: str
    kind: str
    programs: list[str]
    by: str = ""


@dataclass(frozen=True)
class Overview:
    """All statuses, the listener's process (None if there is none), and the jobs under way."""

    programs: dict[str, Status] = field(default_factory=dict)
    listener: dict[str, Any] | None = None
    jobs: list[Job] = field(default_factory=list)


def encode(value: object) -> str:
    """The JSON text of any of the dataclasses here."""
    # Not asdict, which copies all: supervisord does nothing else meanwhile.
    return json.dumps(value, default=vars)


def decode_command(text: object) -> Command:
    """Raises BadMessage, as do all decoders here. Each name is there once."""
    ask = _decoded(Command, text, MAX_REQUEST_BYTES)
    if ask.kind not in ASKED:
        raise BadMessage(f"kind {ask.kind[:80]!r} is none of {', '.join(ASKED)}")
    if not ask.names:
        raise BadMessage("names is empty: which programs?")
    for name in ask.names:
        if len(name) > MAX_NAME_CHARS:
            raise BadMessage(f"names: {name[:80]!r}... has more than {MAX_NAME_CHARS} characters")
    if ask.values and ask.kind not in (ROLLOUT, DRY_RUN):
        raise BadMessage(f"values: settings are for a rollout; {ask.kind} takes none")
    return dataclasses.replace(ask, names=list(dict.fromkeys(ask.names)), by=one_line(ask.by))


def one_line(by: str) -> str:
    """Who asked, as it may stand in a log and on a terminal."""
    return "".join(char if char.isprintable() else "?" for char in by[:MAX_BY_CHARS])


def decode_receipt(text: object) -> Receipt:
    return _decoded(Receipt, text)


def decode_exchange(text: object) -> Exchange:
    exchange = _decoded(Exchange, text, MAX_EXCHANGE_BYTES)
    if exchange.pid <= 0:
        raise BadMessage(f"pid {exchange.pid} is no process")
    return exchange


def decode_delivery(text: object) -> Delivery:
    return _decoded(Delivery, text)


def decode_reports(text: object) -> Reports:
    return _decoded(Reports, text)


def decode_overview(text: object) -> Overview:
    return _decoded(Overview, text)


def _decoded(shape: type[_Value], text: object, most_bytes: int | None = None) -> _Value:
    name = shape.__name__
    if not isinstance(text, str):
        raise BadMessage(f"{name}: {type(text).__name__} is not JSON text")
    # Characters first: there are never more of these than bytes.
    if most_bytes and (len(text) > most_bytes or len(text.encode(errors="replace")) > most_bytes):
        raise BadMessage(f"{name}: it has more than {most_bytes} bytes, which is the most allowed")
    try:
        return _built(shape, json.loads(text))
    except RecursionError:
        raise BadMessage(f"{name}: it is nested too deeply") from None
    except ValueError as error:
        raise BadMessage(f"{name}: not JSON: {error}") from None


def _built(shape: type[_Value], data: object) -> _Value:
    if not isinstance(data, dict):
        raise BadMessage(f"{shape.__name__}: {type(data).__name__} is not an object")
    rules = _RULES[shape]
    fields = {}
    for key in rules.keys() & data.keys():
        try:
            fields[key] = rules[key](data[key])
        except (TypeError, ValueError) as error:
            raise BadMessage(f"{shape.__name__}: {key}: {error}") from None
    missing = [
        one.name
        for one in dataclasses.fields(shape)  # type: ignore[arg-type]
        if one.default is MISSING and one.default_factory is MISSING and one.name not in fields
    ]
    if missing:
        raise BadMessage(f"{shape.__name__}: missing {', '.join(missing)}")
    return shape(**fields)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r:.80} is neither true nor false")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**53:
        raise TypeError(f"{value!r:.80} is not a whole number")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e15:
        raise TypeError(f"{value!r:.80} is not a number")
    return float(value)


def _free(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.80} is not an object")
    return value


def _or_none(rule: Callable[[object], _Value]) -> Callable[[object], _Value | None]:
    return lambda value: None if value is None else rule(value)


def _list_of(rule: Callable[[object], _Value]) -> Callable[[object], list[_Value]]:
    def parsed(value: object) -> list[_Value]:
        if not isinstance(value, list):
            raise TypeError(f"{value!r:.80} is not a list")
        return [rule(one) for one in value]

    return parsed


def _map_of(rule: Callable[[object], _Value]) -> Callable[[object], dict[str, _Value]]:
    return lambda value: {key: rule(one) for key, one in _free(value).items()}


def _value_of(shape: type[_Value]) -> Callable[[object], _Value]:
    return lambda value: _built(shape, value)


def _pair(value: object) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError(f"{value!r:.80} is not a pair")
    return _text(value[0]), _text(value[1])


_texts = _list_of(_text)
_RULES: dict[type, dict[str, Callable[[object], object]]] = {
    Command: {"kind": _text, "names": _texts, "values": _map_of(_text), "by": _text},
    Receipt: {"id": _text, "programs": _texts, "skipped": _list_of(_pair)},
    Request: {
        "id": _text,
        "kind": _text,
        "programs": _texts,
        "values": _map_of(_text),
        "by": _text,
        "at": _number,
        "wildcard": _flag,
    },
    Report: {
        "job": _text,
        "program": _text,
        "kind": _text,
        "facts": _free,
        "at": _number,
        "seq": _whole,
    },
    Status: {
        "state": _text,
        "since": _number,
        "by": _text,
        "job": _text,
        "why": _text,
        "done": _whole,
        "total": _whole,
        "ready": _whole,
        "desired": _whole,
        "min_ready": _whole,
        "ended": _or_none(_number),
        "outdated": _list_of(_whole),
        "fresh": _list_of(_whole),
        "releases": _map_of(_text),
        "backing_off": _text,
        "strategy": _text,
        "arbiter": _whole,
        "successor": _whole,
        "retiring": _whole,
    },
    Job: {"id": _text, "kind": _text, "programs": _texts, "by": _text},
}
_RULES |= {
    Exchange: {
        "pid": _whole,
        "hello": _flag,
        "state": _or_none(_text),
        "reports": _list_of(_value_of(Report)),
        "statuses": _or_none(_map_of(_value_of(Status))),
        "taken": _texts,
        "done": _texts,
        "trouble": _text,
    },
    Delivery: {
        "requests": _list_of(_value_of(Request)),
        "state": _text,
        "config": _text,
        "jobs": _texts,
    },
    Reports: {"reports": _list_of(_value_of(Report)), "done": _flag, "listener": _text},
    Overview: {
        "programs": _map_of(_value_of(Status)),
        "listener": _or_none(_free),
        "jobs": _list_of(_value_of(Job)),
    },
}
