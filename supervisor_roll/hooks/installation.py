"""Wrapping the hooks that a Gunicorn configuration file already has."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

_MARK = "_supervisor_roll_hook"


def install_into(namespace: dict[str, Any],
                 hooks: Mapping[str, tuple[Callable[..., None], str]]) -> None:
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
            namespace[name] = _chained(len(signature(ours).parameters), *map(_widened, both))
            setattr(namespace[name], _MARK, True)


def _resolved(name: str, hook: Any) -> Callable[..., None]:
    # Gunicorn also takes a hook by its dotted name.
    if isinstance(hook, str):
        module, _, attribute = hook.rpartition(".")
        hook = getattr(importlib.import_module(module), attribute)
    if not callable(hook):
        raise TypeError(f"{name}={hook!r} in the Gunicorn configuration is not callable")
    return hook


def _widened(hook: Callable[..., None]) -> Callable[..., None]:
    """``post_request`` may take two, three or four arguments; Gunicorn gives what is taken."""
    taken = [one for one in signature(hook).parameters.values()
             if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return lambda *arguments: hook(*arguments[:len(taken)])


def _chained(arity: int, first: Callable[..., None],
             second: Callable[..., None]) -> Callable[..., None]:
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

    def four(worker: Any, req: Any, environ: Any, resp: Any) -> None:
        first(worker, req, environ, resp)
        second(worker, req, environ, resp)

    chains: dict[int, Callable[..., None]] = {1: one, 2: two, 3: three, 4: four}
    return chains[arity]
