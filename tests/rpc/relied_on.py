"""Run by the interpreter of any supervisor: prints what it lacks of what our parts touch.

Its argument is a configuration file with a [program:], an [fcgi-program:] and an
[eventlistener:].
"""

from __future__ import annotations

import inspect
import socket
import sys
from collections.abc import Iterator
from typing import Any

from supervisor import http
from supervisor.dispatchers import POutputDispatcher
from supervisor.loggers import FileHandler, Logger, SyslogHandler
from supervisor.options import (
    EventListenerPoolConfig,
    FastCGIGroupConfig,
    ProcessConfig,
    ProcessGroupConfig,
    ServerOptions,
)
from supervisor.process import ProcessGroupBase, Subprocess
from supervisor.supervisord import Supervisor

from supervisor_roll.rpc import supervisor_types as types
from tests.protocols import lacking

PROTOCOLS = {
    Supervisor: types.Supervisor,
    ServerOptions: types.Options,
    ProcessConfig: types.ProcessConfig,
    ProcessGroupConfig: types.GroupConfig,
    ProcessGroupBase: types.Group,
    Subprocess: types.Process,
    POutputDispatcher: types.OutputDispatcher,
    Logger: types.Logger,
    FileHandler: types.Handler,
    SyslogHandler: types.Handler,
    http.supervisor_http_server: types.HttpServer,
    http.deferring_http_channel: types.HttpChannel,
    http.deferring_http_request: types.HttpRequest,
}
# All that a group's configuration is made of, so all that there is to compare.
_GROUP = ["options", "name", "priority", "process_configs"]
PARAMETERS = {
    ProcessGroupConfig: _GROUP,
    FastCGIGroupConfig: [*_GROUP, "socket_config"],
    EventListenerPoolConfig: [*_GROUP, "buffer_size", "pool_events", "result_handler"],
}


def real_objects(config: str) -> list[Any]:
    """As supervisord has them."""
    options = ServerOptions()
    options.realize(["-c", config])
    options.make_logger()
    supervisord = Supervisor(options)
    groups = [one.make_group() for one in options.process_group_configs]
    processes = [process for group in groups for process in group.processes.values()]
    dispatchers = []
    for process in processes:
        process.config.create_autochildlogs()
        dispatchers += process.config.make_dispatchers(process)[0].values()
    loggers = [one.normallog for one in dispatchers if isinstance(one, POutputDispatcher)]
    handlers = [handler for logger in loggers for handler in logger.handlers]
    options.openhttpservers(supervisord)
    [(_, server)] = options.httpservers
    channel = http.deferring_http_channel(server, socket.socketpair()[0], "")
    request = http.deferring_http_request(channel, "GET / HTTP/1.1", "GET", "/", "1.1", [])
    return [
        supervisord,
        options,
        server,
        channel,
        request,
        *options.process_group_configs,
        *groups,
        *processes,
        *(process.config for process in processes),
        *dispatchers,
        *loggers,
        *handlers,
    ]


def differences(objects: list[Any]) -> Iterator[str]:
    for kind, protocol in PROTOCOLS.items():
        found = [one for one in objects if isinstance(one, kind)]
        if not found:
            yield f"there is no {kind.__name__}"
        for one in found:
            yield from lacking(protocol, one)
    for kind, names in PARAMETERS.items():
        takes = list(inspect.signature(kind).parameters)
        if takes != names:
            yield f"{kind.__name__} takes {', '.join(takes)}"


if __name__ == "__main__":
    print("\n".join(differences(real_objects(sys.argv[1]))))
