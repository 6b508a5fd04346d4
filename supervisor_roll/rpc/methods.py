"""What each method goes through first: a fault is all that a caller can cause."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.rpc import program_names, secret

_Method = Callable[..., str]


def for_all(method: _Method) -> _Method:
    """Guard a method for whoever may speak to supervisord."""
    return _guarded(method, method)


def for_the_listener(method: _Method) -> _Method:
    """Guard a method for the listener: the first parameter is its token, taken off here."""

    def call(self: Any, token: object, *arguments: object) -> str:
        secret.check(token, self._mailbox.token)
        return method(self, *arguments)

    return _guarded(method, call)


def _guarded(method: _Method, call: _Method) -> _Method:
    # supervisord takes a TypeError for a wrong number of parameters, and logs any other error with
    # a traceback, as often as a caller likes.
    least = sum(
        one.default is one.empty for one in inspect.signature(method).parameters.values()
    ) - (call is method)
    most = len(inspect.signature(method).parameters) - (call is method)

    @functools.wraps(method)
    def guarded(self: Any, *arguments: object) -> str:
        if not least <= len(arguments) <= most:
            raise RPCError(Faults.INCORRECT_PARAMETERS)
        try:
            return call(self, *arguments)
        except RPCError:
            raise
        except Exception as error:  # noqa: BLE001 - supervisord must not pay for our mistakes
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{PurePath(frame.filename).name}:{frame.lineno}"
            text = (
                f"roll.{method.__name__}: a mistake of supervisor_roll's at {where}: {error!r:.200}"
            )
            raise RPCError(Faults.FAILED, program_names.shown(text)) from None

    return guarded
