"""Whether the objects of a host are what our Protocols say, by introspection."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol


def lacking(protocol: type, found: Any) -> Iterator[str]:
    """What ``found``, an object or a class, has not of ``protocol``: members and parameters."""
    owner = found if inspect.isclass(found) else type(found)
    there = _assigned(owner)
    for base in protocol.__mro__:
        if Protocol not in base.__bases__:
            continue
        for name in inspect.get_annotations(base):
            if name not in there and not hasattr(found, name):
                yield f"{owner.__qualname__}.{name} is not there"
        for name, wanted in vars(base).items():
            if inspect.isfunction(wanted) and not name.startswith("__"):
                yield from _other(owner, name, wanted, getattr(found, name, None))


def _other(owner: type, name: str, wanted: Any, real: Any) -> Iterator[str]:
    if not callable(real):
        yield f"{owner.__qualname__}.{name}() is not there"
        return
    with suppress(ValueError):  # of what is written in C nothing is known
        takes = [one for one in inspect.signature(real).parameters if one != "self"]
        if takes != [one for one in inspect.signature(wanted).parameters if one != "self"]:
            yield f"{owner.__qualname__}.{name}() takes {', '.join(takes) or 'nothing'}"


def _assigned(owner: type) -> set[str]:
    """The attributes that the methods of a class, and of its bases, assign to ``self``."""
    found = set()
    for base in owner.__mro__:
        with suppress(OSError, TypeError):  # no source: it is built in
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(base)))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found.add(node.attr)
    return found
