"""From dataclasses to JSON text and back, by their annotations.

Reader and writer may be of different releases: a key without a field is ignored, a field
without a key has its default. What does not fit its annotation is refused, with the path to it.
All text is ASCII (JSON escapes the rest), so that no control character can break the XML
around it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import types
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import repeat
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from supervisor_roll.rollout.errors import BadMessage

MAX_NUMBER = 10**15
# Not negative, as pids and counts.
Count = Annotated[int, range(MAX_NUMBER)]

_Value = TypeVar("_Value")
_Key = TypeVar("_Key", int, str)
_Parse = Callable[[Any], Any]
_NAMES: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


class _Misfit(Exception):
    """What is wrong with a value, and the keys that lead to it, innermost first."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.path: list[str] = []


# Not asdict, which copies all: supervisord does nothing else meanwhile.
_ENCODER = json.JSONEncoder(default=vars)


def to_json(value: object) -> str:
    """Return the JSON text of a dataclass, or of lists and dicts of them."""
    return _ENCODER.encode(value)


def from_json(shape: type[_Value], text: object, most_bytes: int = 0) -> _Value:
    """Return the ``shape`` in a JSON text of at most ``most_bytes`` (0: any). Raises BadMessage."""
    name = shape.__name__
    if not isinstance(text, str):
        raise BadMessage(f"{name}: {type(text).__name__} is not JSON text")
    # Characters first: there are never more of these than bytes.
    if most_bytes and (len(text) > most_bytes or len(text.encode(errors="replace")) > most_bytes):
        raise BadMessage(f"{name}: it has more than {most_bytes} bytes, which is the most allowed")
    try:
        return from_data(shape, json.loads(text))
    except RecursionError:
        raise BadMessage(f"{name}: it is nested too deeply") from None
    except ValueError as error:
        raise BadMessage(f"{name}: not JSON: {error}") from None


def from_data(shape: type[_Value], data: object) -> _Value:
    """Return the ``shape`` in what JSON text was read to. Raises BadMessage."""
    hint: Any = shape
    name = getattr(hint, "__name__", str(hint))
    try:
        value: _Value = _parser(hint)(data)
    except _Misfit as misfit:
        raise BadMessage(f"{'.'.join([name, *reversed(misfit.path)])}: {misfit}") from None
    except RecursionError:
        raise BadMessage(f"{name}: it is nested too deeply") from None
    return value


def fitting(shape: type[_Value], data: object) -> _Value:
    """Return the dataclass ``shape`` with what fits of ``data``, and defaults for the rest."""
    given, found = data if isinstance(data, dict) else {}, {}
    hint: Any = shape
    for name, parse in _fields(hint).items():
        with contextlib.suppress(_Misfit, KeyError):
            found[name] = parse(given[name])
    return shape(**found)


@functools.cache
def _parser(hint: object) -> _Parse:
    """Return what reads a value of this annotation, or raises _Misfit."""
    origin, of = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if hint in _NAMES:
        return functools.partial(_plain, hint)
    if dataclasses.is_dataclass(hint):
        return functools.partial(_object, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return functools.partial(_word, hint)
    if origin is Annotated:
        return functools.partial(_within, _parser(of[0]), of[1])
    if origin in (Union, types.UnionType):
        [parse] = [_parser(one) for one in of if one is not types.NoneType]
        return lambda value: None if value is None else parse(value)
    if origin is dict:
        parse = _parser(of[1])
        return lambda value: dict(_each(_plain(dict, value).items(), repeat(parse)))
    if origin is list or of[1:] == (...,):
        return functools.partial(_members, origin, repeat(_parser(of[0])))
    # A tuple, or a NamedTuple.
    make = getattr(hint, "_make", tuple)
    members = [_parser(one) for one in of or get_type_hints(hint).values()]
    return functools.partial(_members, make, members)


def _plain(kind: Any, value: Any) -> Any:
    # In JSON a float may be written as a whole number; in Python a bool is a number.
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise _Misfit(f"{value!r:.80} is not {_NAMES[kind]}")
    if kind in (int, float) and not abs(value) < MAX_NUMBER:
        raise _Misfit(f"{value!r:.80} is not {_NAMES[kind]} below {MAX_NUMBER:g}")
    return float(value) if kind is float else value


def _word(kind: type[Enum], value: object) -> Enum:
    words = [one.value for one in kind]
    if value not in words:
        raise _Misfit(f"{value!r:.80} is none of {', '.join(words)}")
    return kind(value)


def _within(parse: _Parse, allowed: range, value: object) -> Any:
    if parse(value) not in allowed:
        raise _Misfit(f"{value!r:.80} is not from {allowed.start} to {allowed.stop - 1}")
    return value


def _object(shape: Any, data: object) -> Any:
    given, fields = _plain(dict, data), _fields(shape)
    missing = [name for name in _required(shape) if name not in given]
    if missing:
        raise _Misfit(f"missing {', '.join(missing)}")
    items = [one for one in given.items() if one[0] in fields]
    return shape(**dict(_each(items, [fields[name] for name, _ in items])))


@functools.cache
def _fields(shape: Any) -> dict[str, _Parse]:
    """Return how each field of a dataclass is read."""
    hints = get_type_hints(shape, include_extras=True)
    return {one.name: _parser(hints[one.name]) for one in dataclasses.fields(shape)}


@functools.cache
def _required(shape: Any) -> list[str]:
    none = dataclasses.MISSING
    return [
        one.name
        for one in dataclasses.fields(shape)
        if one.default is none and one.default_factory is none
    ]


def _members(make: Any, parsers: Iterable[_Parse], data: Any) -> Any:
    items = enumerate(_plain(list, data))
    if isinstance(parsers, list) and len(data) != len(parsers):
        raise _Misfit(f"{data!r:.80} is not a list of {len(parsers)}")
    return make(one for _, one in _each(items, parsers))


def _each(
    items: Iterable[tuple[_Key, Any]], parsers: Iterable[_Parse]
) -> Iterator[tuple[_Key, Any]]:
    """Read each value; of one that does not fit, say where it stands."""
    for (key, value), parse in zip(items, parsers, strict=False):
        try:
            yield key, parse(value)
        except _Misfit as misfit:
            misfit.path.append(f"{key!s:.80}")
            raise
