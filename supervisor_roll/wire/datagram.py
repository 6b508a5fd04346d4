"""The readiness datagram: a message of a hook's to the listener, or the answer, as bytes.

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

from typing import Any

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.messages import KINDS, Message

SOCKET_VARIABLE = "SUPERVISOR_ROLL_SOCKET"
# The name of a piece of memory that each worker has, and no other child of its arbiter.
WORKER_MARK = "supervisor_roll-worker"
MAX_BYTES = 16384
# More descriptors than that are not passed at once.
MAX_SOCKETS = 64
# Of the fields that are encoded beforehand.
_MAX_ENCODED_BYTES = MAX_BYTES * 3 // 4


def encode(message: Message) -> bytes:
    """Make the datagram. Fields that pass ``MAX_BYTES`` are cut at their start, longest first.

    A traceback's end says more than its beginning.
    """
    said = dict(vars(message))
    said.pop("encoded", None)
    head = f"{message.kind}=1".encode() + message.encoded
    return head + _encoded(said, MAX_BYTES - len(head))


def encoded(fields: dict[str, Any]) -> bytes:
    """Encode ``fields`` of messages that are yet to be made, for their attribute ``encoded``."""
    return _encoded(fields, _MAX_ENCODED_BYTES)


def _encoded(said: dict[str, Any], most_bytes: int) -> bytes:
    # Few functions: in a worker that boots, to touch one takes longer than to run it.
    fields, data = {}, b""
    for name, value in said.items():
        if value is not None:
            text = _text(value)[-MAX_BYTES:]
            fields[name.upper()] = text
            data += f"\n{name.upper()}=".encode() + _escaped(text)
    while (excess := len(data) - most_bytes) > 0:
        values = {key: _escaped(value) for key, value in fields.items()}
        longest = max(values, key=lambda key: len(values[key]))
        # By halves at most, so that of several long ones each keeps something.
        fields[longest] = _cut(fields[longest], min(excess, len(values[longest]) // 2 + 1))
        lines = (f"\n{key}=".encode() + _escaped(value) for key, value in fields.items())
        data = b"".join(lines)
    return data


def decode(data: bytes) -> Message:
    """Return the message in a datagram; what it is not known to say is left out.

    Raises BadMessage.
    """
    if len(data) > MAX_BYTES:
        raise BadMessage(f"a datagram of {len(data)} bytes; {MAX_BYTES} are allowed")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BadMessage(f"not UTF-8: {error}") from None
    kind, equals, one = lines[0].partition("=")
    if kind not in KINDS or equals != "=" or one != "1":
        raise BadMessage(f"the first line {lines[0][:80]!r} is no known KIND=1")
    made = KINDS[kind]
    fields = {}
    for line in filter(None, lines[1:]):
        key, equals, value = line.partition("=")
        if not equals or not key:
            raise BadMessage(f"the line {line[:80]!r} is no KEY=VALUE")
        of = made.fields.get(key.lower())
        if of is not None:
            try:
                fields[key.lower()] = _value(_unescaped(value), of)
            except ValueError:
                raise BadMessage(f"{kind}: {key}={value[:80]!r} is not a number") from None
    return made(**fields)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "\n".join(value) if isinstance(value, tuple) else str(value)


def _value(text: str, of: str) -> Any:
    """Read a value ``of`` the type that the field is declared with. Raises ValueError."""
    of = of.removesuffix(" | None")
    if of == "str":
        return text
    if of == "bool":
        return text == "1"
    if of == "tuple[str, ...]":
        return tuple(text.split("\n")) if text else ()
    number = float(text)
    if not abs(number) < 1e15:
        raise ValueError
    return int(number) if of == "int" else number


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
