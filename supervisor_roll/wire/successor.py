"""What the listener asks of supervisord about changed programs and their successors.

A program's *successor* is a second arbiter that supervisord runs beside the one that serves,
under a name of its own, until it is promoted to the program's name (or discarded). The
arbiter that it replaces is then *retiring*, under a name of its own as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from supervisor_roll.rollout.errors import BadMessage

SUCCESSOR_SUFFIX = ".successor"
RETIRING_SUFFIX = ".retiring"
# In a successor's environment: the pid of the arbiter beside which it starts. The hooks need it.
SUCCESSOR_VARIABLE = "SUPERVISOR_ROLL_SUCCESSOR_OF"
# The signal that an arbiter is sent before it is stopped because another one serves.
RETIRE = "URG"

# What it takes for a changed key of a program's section to come into force.
LIVE = "live"  # nothing: supervisord heeds it from now on
NEEDS_ARBITER = "arbiter"  # an arbiter that was started since
NEEDS_UPDATE = "refused"  # supervisorctl update, with its downtime

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Change:
    """A process whose section differs from what it runs with: key -> effect, no values.

    ``digest`` stands for all of the new values: it changes when one of them does. ``why`` says
    what is to be done where a key is refused.
    """

    namespec: str
    keys: dict[str, str]
    digest: str = ""
    why: str = ""


@dataclass(frozen=True)
class Resize:
    """A group whose number of processes has changed (numprocs), with their namespecs.

    ``refused`` says why that cannot be done while it serves, empty if it can.
    """

    group: str
    added: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    refused: str = ""


@dataclass(frozen=True)
class Reread:
    """How the configuration files differ from what runs. ``added`` and ``removed`` are groups."""

    changes: list[Change] = field(default_factory=list)
    resized: list[Resize] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Succession:
    """A program's arbiters: their pids (0: there is none) and supervisor's names of their states.

    ``ended`` says how the last successor ended, empty if none has; ``tail`` is the end of what
    it wrote to its standard output and error.
    """

    pid: int = 0
    state: str = ""
    successor: int = 0
    successor_state: str = ""
    retiring: int = 0
    ended: str = ""
    tail: str = ""


def encode(value: Reread | Resize | Succession) -> str:
    """ASCII JSON: no control character can break the XML around it."""
    return json.dumps(asdict(value))


def decode_reread(text: object) -> Reread:
    """Raises BadMessage, as does the other decoder. Keys that are not known are ignored."""
    data = _object(text, "Reread")
    return _built(
        Reread,
        {
            "changes": [_built(Change, one) for one in _list(data, "changes")],
            "resized": [_built(Resize, one) for one in _list(data, "resized")],
            "added": _list(data, "added"),
            "removed": _list(data, "removed"),
        },
    )


def decode_succession(text: object) -> Succession:
    return _built(Succession, _object(text, "Succession"))


def program_of(namespec: str) -> str:
    """The namespec of the program that a successor or retiring arbiter belongs to; or itself."""
    for suffix in (SUCCESSOR_SUFFIX, RETIRING_SUFFIX):
        if namespec.endswith(suffix) and ":" in namespec:
            group, name = namespec.removesuffix(suffix).split(":", 1)
            # As supervisor's make_namespec has it.
            return name if group == name else f"{group}:{name}"
    return namespec


def successor_of(namespec: str) -> str:
    """The namespec of the program's successor, whether there is one or not."""
    group, _, name = namespec.partition(":")
    return f"{group}:{name or group}{SUCCESSOR_SUFFIX}"


def _object(text: object, name: str) -> dict[str, Any]:
    try:
        data = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"{name}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadMessage(f"{name}: {text!r:.80} is not an object")
    return data


def _list(data: dict[str, Any], key: str) -> list[Any]:
    found = data.get(key, [])
    if not isinstance(found, list):
        raise BadMessage(f"{key}: {found!r:.80} is not a list")
    return found


def _built(shape: type[_Value], data: object) -> _Value:
    if not isinstance(data, dict):
        raise BadMessage(f"{shape.__name__}: {data!r:.80} is not an object")
    fields = {}
    for key, hint in shape.__annotations__.items():
        if key in data:
            if not _RULES[hint](data[key]):
                raise BadMessage(f"{shape.__name__}: {key}: {data[key]!r:.80} cannot be used")
            fields[key] = data[key]
    try:
        return shape(**fields)
    except TypeError as error:
        raise BadMessage(f"{shape.__name__}: {error}") from None


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_RULES: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "list[str]": _texts,
    "dict[str, str]": lambda value: (
        isinstance(value, dict)
        and all(isinstance(one, str) for pair in value.items() for one in pair)
    ),
    "list[Change]": lambda value: isinstance(value, list),
    "list[Resize]": lambda value: isinstance(value, list),
}
