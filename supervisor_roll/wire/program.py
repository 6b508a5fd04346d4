"""A program as supervisord would spawn it now, as a value and as JSON text.

Also what a preflight is known by: the throw-away process that loads a program's application
to see whether it loads.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from supervisor_roll.rollout.errors import BadMessage

# "1" in a preflight's environment, so that a wrapper or a configuration file with effects of
# its own (migrations, say) can leave them out.
PREFLIGHT_VARIABLE = "SUPERVISOR_ROLL_PREFLIGHT"
# What a preflight has in place of the readiness socket's path: its hooks talk to nobody.
PREFLIGHT_SOCKET = "preflight"


@dataclass(frozen=True)
class Program:
    """What supervisord would execute. ``environment`` is complete, and replaces the spawner's.

    ``command`` is the configuration's text; ``file`` and ``arguments`` (the program's own name
    first) are what becomes of it.
    """

    command: str
    file: str
    arguments: list[str]
    directory: str
    environment: dict[str, str]
    uid: int
    umask: int


def encode_program(program: Program) -> str:
    """ASCII alone: JSON escapes the rest, also the bytes of a variable that are no text."""
    return json.dumps(asdict(program))


def decode_program(text: object) -> Program:
    """Raises BadMessage. Keys that are not known are ignored."""
    if not isinstance(text, str):
        raise BadMessage(f"Program: {type(text).__name__} is not JSON text")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"Program: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadMessage(f"Program: {type(data).__name__} is not an object")
    for key, is_right in _RULES.items():
        if key not in data or not is_right(data[key]):
            raise BadMessage(f"Program: {key}: {data.get(key)!r:.80} cannot be used")
    return Program(**{key: data[key] for key in _RULES})


def _text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


_RULES = {
    "command": _text,
    "file": _text,
    "arguments": lambda value: isinstance(value, list) and bool(value) and all(map(_text, value)),
    "directory": _text,
    "environment": lambda value: (
        isinstance(value, dict)
        and all(key and "=" not in key and _text(key) and _text(one) for key, one in value.items())
    ),
    "uid": _whole,
    "umask": _whole,
}
