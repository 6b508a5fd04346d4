"""A preflight that was about to serve: the last guard of the arbiter that serves already.

The listener has the application loaded beforehand by Gunicorn's ``--check-config``. Where
that did not arrive (a wrapper sets GUNICORN_CMD_ARGS again, an application embeds Gunicorn and
reads none), Gunicorn goes on to start, and would next take the running arbiter's sockets. So
the application is loaded here, and the process ends.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.program import PREFLIGHT_SOCKET, PREFLIGHT_VARIABLE

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter


def about_to_start(server: Arbiter) -> None:
    """``on_starting``, before there are any sockets. Does not return in a preflight."""
    # By the variable without which nothing that is rolled gets anywhere.
    if os.environ.get(SOCKET_VARIABLE) != PREFLIGHT_SOCKET:
        return
    status = 1
    try:
        server.app.wsgi()
        status = 0
    except BaseException:  # noqa: BLE001 - sys.exit() is no success either
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        # No cleaning up: it could only harm the arbiter that serves.
        os._exit(status)


def prepare(namespace: dict[str, Any]) -> None:
    """At the configuration's end, in a preflight: what ``--check-config`` leaves out or misses.

    It never gets to where the arbiter puts ``raw_env`` into the environment. And it leaves with
    status 0 where the application does too, by ``sys.exit(0)``, while it is loaded.
    """
    if os.environ.get(PREFLIGHT_VARIABLE) != "1":
        return
    for entry in namespace.get("raw_env") or ():
        name, _, value = str(entry).partition("=")
        os.environ[name] = value
    leave = sys.exit

    def leave_loudly(status: Any = None) -> NoReturn:
        caller = str(sys._getframe(1).f_globals.get("__name__", ""))
        if status in (None, 0) and caller.partition(".")[0] != "gunicorn":
            print(f"{caller} left by sys.exit({status}) while it was loaded", file=sys.stderr)
            status = 1
        leave(status)

    sys.exit = leave_loudly  # this process is thrown away
