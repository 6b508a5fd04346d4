"""The listener's secret, which opens the methods that are for the listener alone.

Who may speak to supervisord may ask for rollouts; that is not to do what the listener does. The
secret is in the environment of the listener's process and nowhere else: what stands in
supervisord's own every program inherits, and what stands in a configuration is seen by reread.
"""

from __future__ import annotations

import os
import re
from hmac import compare_digest
from typing import Any

from supervisor.events import ProcessStateStartingEvent, subscribe
from supervisor.process import EventListenerPool
from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.rpc.supervisor_types import Process
from supervisor_roll.wire.mailbox import TOKEN_VARIABLE

# As conf.d/roll.conf has it.
_RUNS_OURS = re.compile(r"-m\s+supervisor_roll\.listener(?![\w.])")


def is_listener(process: Process) -> bool:
    """Whether it is configured as an event listener that runs ours."""
    return isinstance(process.group, EventListenerPool) and bool(
        _RUNS_OURS.search(process.config.command)
    )


def give(token: str) -> None:
    """Have each listener of ours that supervisord starts from now on find ``token``.

    Once for a Supervisor object, which forgets all who listen to its events when it begins.
    """
    os.environ.pop(TOKEN_VARIABLE, None)

    def starting(event: Any) -> None:
        process = event.process
        if not is_listener(process):
            return

        def spawn_as_child(filename: str, argv: list[str]) -> None:
            os.environ[TOKEN_VARIABLE] = token  # in the forked child, so nobody else sees it
            type(process)._spawn_as_child(process, filename, argv)

        process._spawn_as_child = spawn_as_child

    subscribe(ProcessStateStartingEvent, starting)


def check(said: object, token: str) -> None:
    """Raise RPCError if what a caller ``said`` is not the token."""
    text = said if isinstance(said, str) else ""
    if not compare_digest(text.encode(errors="replace"), token.encode()):
        raise RPCError(
            Faults.BAD_ARGUMENTS,
            "the token is not this supervisord's: only an [eventlistener:] whose command has"
            f" `-m supervisor_roll.listener` in it gets that, as {TOKEN_VARIABLE} in its"
            " environment; one that runs since before needs `supervisorctl restart roll`",
        )
