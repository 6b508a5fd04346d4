"""What supervisord's children are told in their environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from supervisor.datatypes import boolean

from supervisor_roll.rollout.installing import socket_directory
from supervisor_roll.rpc.supervisor_types import Options
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.mailbox import CONFIG_VARIABLE, HISTORY_VARIABLE

PYTHON_VARIABLE = "SUPERVISOR_ROLL_PYTHON"
# sockaddr_un's sun_path has 108 bytes, one of them for the closing NUL. Each socket in the
# directory is named by a user's id, which has ten digits at the most.
MAX_SOCKET_BYTES = 107 - len("/4294967295")
_SECTION = "[rpcinterface:roll]"
NO_HISTORY = "none"


def child_environment(
    options: Options, socket: str, history: str, unknown: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables, from ``options`` and the section's keys. Raises ValueError."""
    for key, value in unknown.items():
        raise ValueError(
            f"{_SECTION}: {key}={value}: unknown key; known are socket and"
            " history, which are paths, and page"
        )
    return {
        SOCKET_VARIABLE: _socket_directory(options, socket),
        PYTHON_VARIABLE: sys.executable,
        HISTORY_VARIABLE: _history_file(options, history),
        # ``here`` is the file's absolute directory at the time when the file was read.
        CONFIG_VARIABLE: str(Path(options.here) / Path(options.configfile).name),
    }


def is_page_wanted(page: str) -> bool:
    """Return what the key ``page`` says. Raises ValueError."""
    try:
        return bool(boolean(page))
    except ValueError:
        raise ValueError(f"{_SECTION}: page={page}: must be true or false") from None


def _history_file(options: Options, history: str) -> str:
    """Return its path; empty if none is to be kept, or the log is no file."""
    if history:
        if history != NO_HISTORY and not history.startswith("/"):
            raise ValueError(
                f"{_SECTION}: history={history}: must be an absolute path, or {NO_HISTORY}"
            )
        return "" if history == NO_HISTORY else history
    log = str(options.logfile)
    is_file = log.startswith("/") and not log.startswith("/dev/")
    return f"{log.removesuffix('.log')}_roll.sqlite" if is_file else ""


def _socket_directory(options: Options, socket: str) -> str:
    if socket:
        path, rule = socket, "must be an absolute path"
    else:
        files = [config["file"] for config in options.server_configs if "file" in config]
        path = socket_directory(files, options.pidfile)
        rule = "the default; set this key to an absolute path"
    if not path.startswith("/"):
        raise ValueError(f"{_SECTION}: socket={path}: must be an absolute path")
    if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
        raise ValueError(
            f"{_SECTION}: socket={path}: {rule} of at most {MAX_SOCKET_BYTES} bytes,"
            f" as Unix sockets in this directory have it; this one has {len(os.fsencode(path))}"
        )
    return path
