"""Run by the interpreter of any supervisor: prints what it lacks of what our parts rely on.

Its arguments are a configuration file with a [program:], an [fcgi-program:] and an
[eventlistener:], and if wanted what is relied on, as JSON, instead of what is.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from supervisor.dispatchers import POutputDispatcher
from supervisor.options import ServerOptions
from supervisor.supervisord import Supervisor

from supervisor_roll.rpc.supervisor_internals import RELIED_ON


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
    return [
        supervisord,
        options,
        *options.process_group_configs,
        *groups,
        *processes,
        *(process.config for process in processes),
        *dispatchers,
        *loggers,
        *handlers,
    ]


def differences(relied_on: Mapping[str, Mapping[str, Any]], objects: list[Any]) -> Iterator[str]:
    for where, members in relied_on.items():
        module, _, name = where.partition(".")
        owner: Any = importlib.import_module(f"supervisor.{module}")
        if name:
            if not hasattr(owner, name):
                yield f"supervisor.{where} is not there"
                continue
            owner = getattr(owner, name)
        known = [one for one in objects if inspect.isclass(owner) and isinstance(one, owner)]
        for member, parameters in members.items():
            if not all(hasattr(one, member) for one in known or [owner]):
                yield f"supervisor.{where}.{member} is not there"
            elif parameters is not None:
                found = list(inspect.signature(getattr(owner, member)).parameters)
                if found != list(parameters):
                    yield f"supervisor.{where}.{member} takes {', '.join(found)}"


if __name__ == "__main__":
    wanted = json.loads(sys.argv[2]) if len(sys.argv) > 2 else RELIED_ON
    print("\n".join(differences(wanted, real_objects(sys.argv[1]))))
