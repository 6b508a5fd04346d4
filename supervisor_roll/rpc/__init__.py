"""Runs inside supervisord as ``[rpcinterface:roll]``: thin, never blocks, no threads.

The only place that touches supervisord's internals. supervisord calls the factory once for
each HTTP server section, and again for each after a `reload`, in the same interpreter: so
what is kept hangs on the Supervisor object, and nothing on a module.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from supervisor_roll.rpc import secret
from supervisor_roll.rpc.announcements import announce
from supervisor_roll.rpc.child_environment import child_environment, is_page_wanted
from supervisor_roll.rpc.interface import RollRPCInterface, ring
from supervisor_roll.rpc.mailbox import Mailbox
from supervisor_roll.rpc.preflights import Preflights
from supervisor_roll.rpc.successors import Successors
from supervisor_roll.wire.mailbox import CONFIG_VARIABLE


def make_rpcinterface(
    supervisord: Any, socket: str = "", history: str = "", page: str = "true", **unknown: str
) -> RollRPCInterface:
    """Make the interface; named by ``[rpcinterface:roll]``. ``socket`` is the sockets' directory.

    With ``page`` supervisord's HTTP servers serve it, at /roll/.
    Every process that supervisord starts gets SUPERVISOR_ROLL_SOCKET, _PYTHON, _CONFIG and
    _HISTORY; our listener, and nobody else, SUPERVISOR_ROLL_TOKEN.
    Raises ValueError for a key or a path that breaks its rule; supervisord then does not start.
    """
    try:
        variables = child_environment(supervisord.options, socket, history, unknown)
        has_page = is_page_wanted(page)
    except ValueError as error:
        # supervisord writes the reason only to its log, and its user looks at the terminal.
        print(f"Error: {error}", file=sys.stderr)
        raise
    is_first = not hasattr(supervisord, "roll_mailbox")
    if is_first:
        supervisord.roll_mailbox = Mailbox(announce, ring)
        supervisord.roll_successors = Successors()
        supervisord.roll_preflights = Preflights()
        secret.give(supervisord.roll_mailbox.token)
    os.environ.update(variables)
    interface = RollRPCInterface(
        supervisord,
        supervisord.roll_mailbox,
        supervisord.roll_successors,
        supervisord.roll_preflights,
        variables[CONFIG_VARIABLE],
    )
    if is_first and has_page:
        interface._serve_page()
    return interface
