"""How supervisord would spawn a process, from its configuration in force."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor_roll.rpc.supervisor_types import Process
from supervisor_roll.wire.program import Program


def described(process: Process) -> Program:
    """Describe what ``process.spawn()`` would execute now.

    Raises supervisor's ProcessException if it would execute nothing.
    """
    config = process.config
    file, arguments = process.get_execv_args()
    return Program(
        file,
        list(arguments),
        # A relative one is relative to supervisord's own.
        str(Path.cwd() / (config.directory or "")),
        _environment(process),
        _umask() if config.umask is None else config.umask,
    )


def _environment(process: Process) -> dict[str, str]:
    # As Subprocess._spawn_as_child has it, which does not let itself be asked.
    config = process.config
    environment = {**os.environ, "SUPERVISOR_ENABLED": "1"}
    serverurl = config.options.serverurl if config.serverurl is None else config.serverurl
    if serverurl:
        environment["SUPERVISOR_SERVER_URL"] = serverurl
    environment["SUPERVISOR_PROCESS_NAME"] = config.name
    if process.group:
        environment["SUPERVISOR_GROUP_NAME"] = process.group.config.name
    return {**environment, **(config.environment or {})}


def _umask() -> int:
    # There is no other way to read it than to set it; supervisord has no threads to disturb.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
