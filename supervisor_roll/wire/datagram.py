"""The readiness datagram: what a Gunicorn hook says to the listener, and what it is answered.

The form is sd_notify's (systemd, sd_notify(3)): lines of ``KEY=VALUE``, the first of which
is the kind with the value 1 (``READY=1``). Since a value may be a traceback, ``\\`` and
line ends in it are escaped. The variable that names the socket is ours, not
``NOTIFY_SOCKET``: Gunicorn's arbiter writes its own ``READY=1`` there before any worker
has loaded the application.

A message carries one end of a socket pair (SCM_RIGHTS) for the answer, so that only the
process that got the message can answer it. Who sent it is what the kernel says
(SCM_CREDENTIALS), never what the message says. The variable names a directory, in which each
user has a socket of its own, named by the user's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor_roll.rollout.errors import BadMessage

SOCKET_VARIABLE = "SUPERVISOR_ROLL_SOCKET"
# The name of a piece of memory that each worker has, and no other child of its arbiter.
WORKER_MARK = "supervisor_roll-worker"
MAX_BYTES = 16384

# From a worker.
BOOTING = "BOOTING"  # forked; nothing loaded yet. Wants no answer.
LOADED = "LOADED"  # the application is imported. The answer says what to check.
READY = "READY"  # it serves. Said again until it is acknowledged.
UNREADY = "UNREADY"  # its health check failed; STATUS says how.
FAILED = "FAILED"  # its boot failed; ERROR and TRACEBACK say how. It leaves.
BACKING_OFF = "BACKING_OFF"  # FAILURES boots have failed; it waits WAIT_SECS before its own.
MEASURED = "MEASURED"  # REQUESTS answered since its boot, ERRORS of them. Wants no answer.
ABORTING = "ABORTING"  # it was sent ABRT, as Gunicorn does at ``timeout``.
DRAINING = "DRAINING"  # it was told to stop: how long may it take? Arbiters ask it too.
# From an arbiter.
COUNTED = "COUNTED"  # it now wants WORKERS workers.
RELOADED = "RELOADED"  # it was sent HUP.
FORK_FAILED = (
    "FORK_FAILED"  # it could not start a worker; ERROR says why. It wants none, or tries again.
)
# With UID, whom its workers are going to run as, in STARTING, LISTENING and RELOADED.
STARTING = "STARTING"  # it has no sockets yet, and wants those that are kept for it.
LISTENING = "LISTENING"  # here are its sockets, one for each line of SOCKETS. Workers say it too.
STOPPING = "STOPPING"  # it has stopped: which of PATHS, of its Unix sockets, are to stay?
# The answer.
ACK = "ACK"

# With these a worker describes itself and its arbiter: the configuration, and where they run.
DESCRIBING = frozenset({BOOTING, LOADED, READY, UNREADY, LISTENING})
FROM_ARBITERS = frozenset({COUNTED, RELOADED, FORK_FAILED, STARTING, STOPPING})
KINDS = FROM_ARBITERS | {
    BOOTING,
    LOADED,
    READY,
    UNREADY,
    FAILED,
    BACKING_OFF,
    MEASURED,
    ABORTING,
    DRAINING,
    LISTENING,
    ACK,
}
# More descriptors than that are not passed at once.
MAX_SOCKETS = 64


@dataclass(frozen=True)
class Message:
    """One datagram: its kind and its fields, all text."""

    kind: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def number(self, key: str, default: float | None = None) -> float:
        """Return a field as a number. Raises BadMessage if it is none, or there is no default."""
        text = self.fields.get(key)
        if text is None and default is not None:
            return default
        try:
            number = float(text or "")
        except ValueError:
            number = float("nan")
        if not abs(number) < 1e15:
            raise BadMessage(f"{self.kind}: {key}={text!r} is not a number")
        return number


def encode(message: Message) -> bytes:
    """Make the datagram. Fields that pass ``MAX_BYTES`` are cut at their start, longest first.

    A traceback's end says more than its beginning.
    """
    fields = {key: value[-MAX_BYTES:] for key, value in message.fields.items()}
    while True:
        values = {key: _escaped(value) for key, value in fields.items()}
        lines = [f"{message.kind}=1".encode()]
        lines += [key.encode() + b"=" + value for key, value in values.items()]
        data = b"\n".join(lines)
        excess = len(data) - MAX_BYTES
        if excess <= 0:
            return data
        longest = max(values, key=lambda key: len(values[key]))
        # By halves at most, so that of several long ones each keeps something.
        fields[longest] = _cut(fields[longest], min(excess, len(values[longest]) // 2 + 1))


def decode(data: bytes) -> Message:
    """Return the message in a datagram. Raises BadMessage."""
    if len(data) > MAX_BYTES:
        raise BadMessage(f"a datagram of {len(data)} bytes; {MAX_BYTES} are allowed")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BadMessage(f"not UTF-8: {error}") from None
    kind, equals, one = lines[0].partition("=")
    if kind not in KINDS or equals != "=" or one != "1":
        raise BadMessage(f"the first line {lines[0][:80]!r} is no known KIND=1")
    fields = {}
    for line in filter(None, lines[1:]):
        key, equals, value = line.partition("=")
        if not equals or not key:
            raise BadMessage(f"the line {line[:80]!r} is no KEY=VALUE")
        fields[key] = _unescaped(value)
    return Message(kind, fields)


def _escaped(value: str) -> bytes:
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return text.encode("utf-8", "backslashreplace")


def _cut(value: str, size: int) -> str:
    """``value`` without as many letters of its start as take ``size`` bytes."""
    at = 0
    while size > 0 and at < len(value):
        size -= len(_escaped(value[at]))
        at += 1
    return value[at:]


def _unescaped(value: str) -> str:
    if "\\" not in value:
        return value
    parts = value.split("\\\\")
    return "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in parts)
