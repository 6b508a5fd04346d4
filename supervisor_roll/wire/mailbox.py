"""What crosses the mailbox inside supervisord, as values and as JSON text.

supervisorctl puts in a ``Command``; supervisord makes a ``Request`` of it, which the listener
takes in an ``Exchange``. The listener's ``Report`` and ``Status`` come back the same way.

After an upgrade of this package supervisord still runs the old code while the listener and
supervisorctl run the new: wire.codec ignores the keys that it does not know, and only insists on
fields without a default.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.reports import KINDS, Facts
from supervisor_roll.rollout.words import MAX_PARALLEL, WORKERS
from supervisor_roll.wire.codec import Count, fitting, from_json, to_json
from supervisor_roll.wire.printable import printable

# How many programs of a job are rolled at once.
Parallel = Annotated[int, range(1, MAX_PARALLEL + 1)]

# What is asked.
ROLLOUT, DRY_RUN = "rollout", "dry-run"
UPDATE = "update"  # roll what the configuration has changed; names are programs or "all"
ABORT, PAUSE, RESUME = "abort", "pause", "resume"
RECYCLE = "recycle"  # replace some of a program's workers: those of these pids, or the largest
HISTORY = "history"  # what has ended: of names, or all of the one rollout with that number
DRAIN, READY = "drain", "ready"  # take out of service, and put back
ASKED = (ROLLOUT, DRY_RUN, UPDATE, RECYCLE, HISTORY, ABORT, PAUSE, RESUME, DRAIN, READY)

# Who asks for what the listener does by itself, and how the ids of its recyclings begin.
BY_LISTENER = "the listener"
OWN_RECYCLING = f"{RECYCLE}-"

IDLE = "idle"  # a status' state beside those of a rollout: never rolled

# The states (supervisor's names) of a listener's process that will take a request.
LISTENING = frozenset({"RUNNING", "STARTING", "BACKOFF"})
# How a fault begins that says that there is no listener, and how if one is on its way.
NO_LISTENER = "no listener"
NO_LISTENER_YET = "the listener has not connected yet"

# What the listener alone has in its environment, and shows with what it alone may ask for.
TOKEN_VARIABLE = "SUPERVISOR_ROLL_TOKEN"
# The path of the main configuration file of supervisord.
CONFIG_VARIABLE = "SUPERVISOR_ROLL_CONFIG"
# The path of the file of rollouts that have ended; empty: there is none.
HISTORY_VARIABLE = "SUPERVISOR_ROLL_HISTORY"

# What anybody who may speak to supervisord may make it read, and keep: a request has some
# names and a few settings.
MAX_REQUEST_BYTES = 64 * 1024
MAX_BY_CHARS = 80
MAX_NAME_CHARS = 1024
MAX_NAMES = 1000
MAX_DIGITS = 10
# The listener's alone. The saved state of all programs, some 300 bytes a worker, is text within
# text: no character of it takes more than two. What is reported comes in portions.
MAX_EXCHANGE_BYTES = 16 * 1024 * 1024
MAX_STATE_CHARS = 6 * 1024 * 1024
MAX_STATUSES_CHARS = 1024 * 1024
MAX_PORTION_CHARS = 1024 * 1024
MAX_DOCUMENT_CHARS = 1024 * 1024

# The document of the page that is rendered anew whenever it changes, while somebody watches.
STATUS = "status"
METRICS = "metrics"  # which is no JSON; empty where the library that makes it is missing


@dataclass(frozen=True)
class Command:
    """What an operator asks: ``names`` are as given, ``values`` only the settings given.

    ``parallel``: how many programs are rolled at once; None: as configured. ``pids``: which workers
    of the one program are recycled; none: the one with the most memory. ``last``: so many of the
    history are shown; 0: as many as usual.
    """

    kind: str
    names: list[str]
    values: dict[str, str] = field(default_factory=dict)
    by: str = ""
    parallel: Parallel | None = None
    pids: list[Count] = field(default_factory=list)
    last: Count = 0


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
    parallel: Parallel | None = None
    pids: list[Count] = field(default_factory=list)
    last: Count = 0


@dataclass(frozen=True)
class Report:
    """One thing that happened to one program in a job. ``seq`` grows within a job, from 1."""

    job: str
    program: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0
    seq: int = 0

    @property
    def content(self) -> Facts | None:
        """The facts as this release has them of their kind; None of a kind that it does not know.

        What is missing or strange has its default: another release may have reported it.
        """
        shape = KINDS.get(self.kind)
        return None if shape is None else fitting(shape, self.facts)


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
    recycling: str = ""  # why workers are replaced that are past a limit, or why that has failed
    strategy: str = WORKERS
    arbiter: int = 0  # the pids of the arbiter that has the program's name, of its successor,
    successor: int = 0  # and of the one that drains after it; 0: there is none
    retiring: int = 0
    drained: str = ""  # who has taken it out of service; empty: nobody


@dataclass(frozen=True)
class Signal:
    """A signal to a process of supervisord's. Numbers grow, from 1, as long as a listener runs."""

    number: int
    namespec: str
    name: str


@dataclass(frozen=True)
class Exchange:
    """What the listener says: of its state and the statuses only what has changed.

    ``hello`` is a listener's first word after its start; ``trouble`` is what is wrong with
    itself. The state is in parts, by program, each a text; None drops it. What was saved and
    shown before is dropped if this is the ``whole``.

    ``signals`` are to be sent once all this is kept. They are numbered, so that each is sent
    once, however often it is said because an answer was lost.
    """

    pid: Annotated[int, range(1, 2**31)]
    hello: bool = False
    whole: bool = False
    state: dict[str, dict[str, str | None]] = field(default_factory=dict)
    statuses: dict[str, Status | None] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    workers: dict[str, dict[str, str | None]] = field(default_factory=dict)  # while watched
    trouble: str = ""
    package_version: str = ""  # of supervisor_roll; with ``hello``
    documents: dict[str, str] = field(default_factory=dict)  # what the page shows, by name


@dataclass(frozen=True)
class Delivery:
    """What the listener is answered. ``state`` and ``jobs`` are only filled for a ``hello``.

    ``unsent`` says why signals could not be sent. ``jobs`` are the ids of jobs that an earlier
    listener took and did not end: one that the saved state does not tell of is to be ended, since
    somebody may wait for it. ``documents`` are the names of those that the page waits for;
    ``page_watched``: somebody looks at it.
    """

    requests: list[Request] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    state: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    watched: bool = False  # somebody wants to see the workers
    documents: list[str] = field(default_factory=list)
    page_watched: bool = False


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
class Listener:
    """The listener's process, what is wrong with it, and its version of supervisor_roll."""

    pid: int
    state: str
    trouble: str = ""
    package_version: str = ""


@dataclass(frozen=True)
class Overview:
    """All statuses, the listener's process (None if there is none), and the jobs under way.

    ``package_version`` is that of the supervisor_roll that supervisord has imported.
    """

    programs: dict[str, Status] = field(default_factory=dict)
    listener: Listener | None = None
    jobs: list[Job] = field(default_factory=list)
    package_version: str = ""


def exchanged(said: Exchange | Delivery) -> str:
    """Return its JSON text. What is empty is left out, since that is the default of each field."""
    return to_json({name: value for name, value in vars(said).items() if value})


def decode_command(text: object) -> Command:
    """Return a command in which each name is there once. Raises BadMessage."""
    ask = from_json(Command, text, MAX_REQUEST_BYTES)
    if ask.kind not in ASKED:
        raise BadMessage(f"kind {ask.kind[:80]!r} is none of {', '.join(ASKED)}")
    if not ask.names:
        raise BadMessage("names is empty: which programs?")
    names = list(dict.fromkeys(ask.names))
    if len(names) > MAX_NAMES:
        raise BadMessage(f"names: there are more than {MAX_NAMES}")
    for name in names:
        if len(name) > MAX_NAME_CHARS:
            raise BadMessage(f"names: {name[:80]!r}... has more than {MAX_NAME_CHARS} characters")
    if ask.values and ask.kind not in (ROLLOUT, DRY_RUN):
        raise BadMessage(f"values: settings are for a rollout; {ask.kind} takes none")
    if ask.parallel and ask.kind not in (ROLLOUT, DRY_RUN, UPDATE):
        raise BadMessage(f"parallel: it is for a rollout; {ask.kind} takes none")
    if ask.pids and (ask.kind != RECYCLE or len(names) > 1):
        raise BadMessage("pids: they are for the recycling of one program's workers")
    if ask.last and ask.kind != HISTORY:
        raise BadMessage(f"last: it is for the history; {ask.kind} takes none")
    if len(ask.pids) > MAX_NAMES:
        raise BadMessage(f"pids: there are more than {MAX_NAMES}")
    return dataclasses.replace(ask, names=names, by=one_line(ask.by))


def is_number(text: str) -> bool:
    """Whether it may be a pid, or the number of a rollout."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def reports_text(reports: list[str], done: bool, listener: str) -> str:
    """Return the JSON text of ``Reports``, of whose reports there is text already."""
    rest = to_json({"done": done, "listener": listener})
    return f'{{"reports": [{", ".join(reports)}], {rest[1:]}'


def one_line(by: str) -> str:
    """Who asked, as it may stand in a log and on a terminal."""
    return printable(by[:MAX_BY_CHARS])
