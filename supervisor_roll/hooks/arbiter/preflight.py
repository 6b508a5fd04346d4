"""A preflight: an arbiter that supervisord starts beside the one that serves, to load and end.

It is a successor that goes no further than ``on_starting``, where the configuration is in force
and no socket is open. So a release that cannot be loaded is found out before it costs a worker.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from supervisor_roll.hooks.arbiter.successor_start import forget_predecessor
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.successor import PREFLIGHT_SOCKET

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter


def starting(server: Arbiter) -> None:
    """``on_starting``, before there are any sockets. Does not return in a preflight."""
    # By the variable without which nothing that is rolled gets anywhere.
    if os.environ.get(SOCKET_VARIABLE) != PREFLIGHT_SOCKET:
        return
    status = 1
    try:
        if server.pidfile is not None:
            server.pidfile.unlink()
        forget_predecessor(server)
        status = _load(server)
    except BaseException:  # noqa: BLE001 - nothing may go on from here
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        # No cleaning up: it could only harm the arbiter that serves. And no waiting for threads.
        os._exit(status)


def _load(server: Arbiter) -> int:
    """Load the application as a worker does, with no more rights; the status to leave with."""
    from gunicorn.util import set_owner_process

    cfg = server.cfg
    set_owner_process(cfg.uid, cfg.gid, initgroups=cfg.initgroups)
    try:
        server.app.wsgi()
    except SystemExit as error:
        if not error.code:  # to leave is no success either
            raise
        if isinstance(error.code, int):
            return error.code
        print(error.code, file=sys.stderr)
        return 1
    return 0
