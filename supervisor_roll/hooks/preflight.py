"""A preflight that was about to serve: the last guard of the arbiter that serves already.

The listener has the application loaded beforehand by Gunicorn's ``--check-config``. Where
that did not arrive (a wrapper sets GUNICORN_CMD_ARGS anew, an application embeds Gunicorn and
reads none), Gunicorn goes on to start, and would next take the running arbiter's sockets. So
the application is loaded here, and the process ends.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.program import PREFLIGHT_SOCKET


def about_to_start(server: Any) -> None:
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
