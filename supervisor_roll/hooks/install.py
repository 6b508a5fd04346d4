"""Wrapping the hooks that a Gunicorn configuration file already has."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

_MARK = "_supervisor_roll_hook"


def install_into(
    namespace: dict[str, Any], hooks: Mapping[str, tuple[Callable[..., None], str]]
) -> None:
    """Set each hook in ``namespace``, beside the user's own of that name if there is one.

    ``hooks`` says for each name our hook, and whether it runs ``before`` or ``after`` theirs.
    """
    for name, (ours, order) in hooks.items():
        theirs = namespace.get(name)
        if theirs is None:
            namespace[name] = ours
        elif theirs is not ours and not hasattr(theirs, _MARK):
            theirs = _resolved(name, theirs)
            both = (ours, theirs) if order == "before" else (theirs, ours)
            namespace[name] = _chained(ours.__code__.co_argcount, *both)
            setattr(namespace[name], _MARK, True)


def is_ours(hook: Any) -> bool:
    """Tell whether a hook as Gunicorn has it is ours, or runs ours beside the user's."""
    module = str(getattr(hook, "__module__", ""))
    return hasattr(hook, _MARK) or module == __package__


def _resolved(name: str, hook: Any) -> Callable[..., None]:
    # Gunicorn also takes a hook by its dotted name.
    if isinstance(hook, str):
        module, _, attribute = hook.rpartition(".")
        hook = getattr(importlib.import_module(module), attribute)
    if not callable(hook):
        raise TypeError(f"{name}={hook!r} in the Gunicorn configuration is not callable")
    found: Callable[..., None] = hook
    return found


def _chained(
    arity: int, first: Callable[..., None], second: Callable[..., None]
) -> Callable[..., None]:
    # Gunicorn counts the positional parameters of a hook and refuses *args.
    def one(server: Any) -> None:
        first(server)
        second(server)

    def two(server: Any, worker: Any) -> None:
        first(server, worker)
        second(server, worker)

    def three(server: Any, new_value: Any, old_value: Any) -> None:
        first(server, new_value, old_value)
        second(server, new_value, old_value)

    chains: dict[int, Callable[..., None]] = {1: one, 2: two, 3: three}
    return chains[arity]
