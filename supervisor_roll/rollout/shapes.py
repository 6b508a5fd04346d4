"""From JSON to dataclasses by their annotations: what does not fit is refused, whatever it is."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from supervisor_roll.rollout.errors import BadMessage

_Value = TypeVar("_Value")


def built(shape: type[_Value], data: object, **made: object) -> _Value:
    """Build a ``shape`` of the object ``data``; ``made`` are fields that are built already.

    Keys that it has no field for are ignored: another version may have saved them. Raises
    BadMessage.
    """
    if not isinstance(data, Mapping):
        raise BadMessage(f"{shape.__name__}: {data!r:.80} is not an object")
    hints = get_type_hints(shape)
    names = [one.name for one in dataclasses.fields(shape)]  # type: ignore[arg-type]
    found = {
        name: _fitting(hints[name], data[name], f"{shape.__name__}.{name}")
        for name in names
        if name in data and name not in made
    }
    try:
        return shape(**found, **made)
    except TypeError as error:
        raise BadMessage(f"{shape.__name__}: {error}") from error


def fitting(hint: object, data: object, name: str) -> Any:
    """Return ``data`` as what the annotation ``hint`` says, for ``name``. Raises BadMessage."""
    try:
        return _fitting(hint, data, name)
    except RecursionError:
        raise BadMessage(f"{name}: it is nested too deeply") from None


def _fitting(hint: Any, data: Any, name: str) -> Any:
    origin, of = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in of:
            return None
        [hint] = [one for one in of if one is not type(None)]
        return _fitting(hint, data, name)
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return built(hint, data)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return hint(*_members(tuple(get_type_hints(hint).values()), data, name))
    if origin is tuple and of[-1:] != (...,):
        return tuple(_members(of, data, name))
    if origin in (list, tuple) and isinstance(data, list | tuple):
        return origin(_fitting(of[0], one, name) for one in data)
    if origin is dict and isinstance(data, Mapping):
        return {str(key): _fitting(of[1], one, name) for key, one in data.items()}
    return _scalar(hint, data, name)


def _scalar(hint: Any, data: Any, name: str) -> Any:
    is_whole = isinstance(data, int) and not isinstance(data, bool) and abs(data) < 2**63
    if hint is float and (is_whole or (isinstance(data, float) and math.isfinite(data))):
        return float(data)
    if (hint is int and is_whole) or (hint in (bool, str) and isinstance(data, hint)):
        return data
    if isinstance(hint, type) and issubclass(hint, Enum) and data in [one.value for one in hint]:
        return hint(data)
    raise BadMessage(f"{name}: {data!r:.80} does not fit")


def _members(hints: tuple[Any, ...], data: Any, name: str) -> list[Any]:
    if not isinstance(data, list | tuple) or len(data) != len(hints):
        raise BadMessage(f"{name}: {data!r:.80} does not fit")
    return [_fitting(hint, one, name) for hint, one in zip(hints, data, strict=True)]
