"""What a successor takes over from its predecessor once that is gone: names in the file system.

It looks for it at each turn of the arbiter's loop, which comes at least once a second.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.safely import safely

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter

# supervisord starts an arbiter that crashed again: it needs its pidfile first.
RESTART_SECS = 5.0
# What only one of two arbiters of a program can have, by the methods that take it. The control
# socket of Gunicorn 25.1 on: the later one takes the path, and whoever ends first removes it.
# And from 25 on an arbiter ends a dirty arbiter that it has not started, as one left behind.
_WITHHELD = ("_start_control_server", "_cleanup_orphaned_dirty_arbiter")


class Takeover:
    """From ``predecessor``, a pid."""

    def __init__(self, server: Arbiter, predecessor: int) -> None:
        self._server = server
        self._predecessor = predecessor
        self._began = _start_time(predecessor)
        self._pidfile: str | None = server.cfg.pidfile
        self._crashed_at: float | None = None
        self._done = False
        self._withheld = [name for name in _WITHHELD if hasattr(server, name)]

    def await_end(self) -> None:
        """Begin to wait for the predecessor's end."""
        for name in self._withheld:
            setattr(self._server, name, _nothing)
        original = self._server.maybe_promote_master

        def turn() -> None:
            original()
            self._done = True  # it is, should anything go wrong: that is said once
            safely(self.take_over)
            if self._done:
                self._server.__dict__.pop("maybe_promote_master", None)

        # Not on the class: only for this arbiter, whose loop calls it at each turn.
        self._server.maybe_promote_master = turn

    def reloaded(self) -> None:
        """``on_reload``: Gunicorn is about to take the pidfile, and would end if it is in use."""
        if self._pidfile is not None:
            self._pidfile = self._server.cfg.pidfile
            if self._pidfile is not None:
                self._server.cfg.set("pidfile", f"{self._pidfile}.2")

    def take_over(self) -> None:
        """Take what the predecessor has left."""
        server = self._server
        if self._withheld and self.is_gone():
            names, self._withheld = self._withheld, []
            for name in names:
                server.__dict__.pop(name, None)
            if hasattr(server, "_start_control_server"):
                server._start_control_server()
        path = self._pidfile
        if path is not None and server.pidfile is not None and self._is_free(path):
            self._pidfile = None
            server.cfg.set("pidfile", path)
            server.pidfile.rename(path)
        self._done = self._pidfile is None and not self._withheld

    def _is_free(self, pidfile: str) -> bool:
        from gunicorn.pidfile import Pidfile

        if Pidfile(pidfile).validate() is not None:
            self._crashed_at = None
            return False
        if not Path(pidfile).exists():
            return True
        self._crashed_at = self._crashed_at or time.monotonic()
        return time.monotonic() > self._crashed_at + RESTART_SECS

    def is_gone(self) -> bool:
        """Tell whether the predecessor is gone, whoever has its pid by now."""
        if self._began:
            return _start_time(self._predecessor) != self._began
        try:
            os.kill(self._predecessor, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


def _start_time(pid: int) -> str:
    """Return when the process started, as the kernel says it; empty if it is gone or not seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _nothing(*arguments: Any) -> None:
    """In place of a method of the arbiter that is not to be run yet."""
