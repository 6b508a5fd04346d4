"""All that we touch of supervisord's internals beside its documented objects, in one file.

supervisor has no way to run two processes of one configuration, to give a process another
configuration, or to change a group in place. So this is done on its objects as they are in
supervisor 4.2 and 4.3. What is relied on is listed in ``RELIED_ON``, and a test fails by
name where a release of supervisor no longer has it.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from supervisor.datatypes import Automatic
from supervisor.options import ProcessConfig, decode_wait_status
from supervisor.process import EventListenerPool
from supervisor.states import ProcessStates

TAIL_BYTES = 16384
CHANNELS = ("stdout", "stderr")
# What the two channels' logs are made of: a dispatcher with the same may share the logger.
_LOG_KEYS = ("logfile", "logfile_maxbytes", "logfile_backups", "syslog")
# On a process that does not have its program's name: which of the two it is.
_ROLE = "roll_role"
SUCCESSOR, RETIRING = "successor", "retiring"

# Class (of supervisor's module): attributes and methods, with the methods' parameters.
RELIED_ON: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    "options.ProcessConfig": {
        "make_process": ("self", "group"), "create_autochildlogs": ("self",),
        "make_dispatchers": ("self", "proc"), "req_param_names": None,
        "optional_param_names": None, "__eq__": ("self", "other")},
    "options.ProcessGroupConfig": {"__init__": (
        "self", "options", "name", "priority", "process_configs")},
    "options.FastCGIGroupConfig": {"__init__": (
        "self", "options", "name", "priority", "process_configs", "socket_config")},
    "options.ServerOptions": {"process_config": ("self", "do_usage")},
    "process.Subprocess": {
        "spawn": ("self",), "stop": ("self",), "finish": ("self", "pid", "sts"),
        "_spawn_as_child": ("self", "filename", "argv"), "get_state": ("self",),
        "get_execv_args": ("self",), "spawnerr": None, "dispatchers": None, "config": None},
    "process.FastCGISubprocess": {"finish": ("self", "pid", "sts")},
    "process.ProcessGroupBase": {"__init__": ("self", "config")},
    "dispatchers.POutputDispatcher": {
        "record_output": ("self",), "normallog": None, "childlog": None, "output_buffer": None},
    "loggers.Logger": {"close": ("self",)},
}


def role(process: Any) -> str:
    """SUCCESSOR or RETIRING; empty for a process under its program's own name."""
    return str(getattr(process, _ROLE, ""))


def programs(group: Any) -> dict[str, Any]:
    """The group's processes by name, without successors and retiring ones."""
    return {name: process for name, process in group.processes.items() if not role(process)}


def is_pool(group: Any) -> bool:
    return isinstance(group, EventListenerPool)


def reread(supervisord: Any) -> dict[str, Any]:
    """Read the configuration files, as supervisor's own reloadConfig does: group configurations.

    Raises what that may raise for a file that cannot be used; nothing has changed then.
    """
    supervisord.options.process_config(do_usage=False)
    return new_groups(supervisord)


def new_groups(supervisord: Any) -> dict[str, Any]:
    """The group configurations that were last read, by name."""
    return {config.name: config for config in supervisord.options.process_group_configs}


def renewed(supervisord: Any, process: Any) -> Any:
    """A process that is never spawned, made from the configuration that was last read."""
    group = process.group
    new_group = new_groups(supervisord).get(group.config.name)
    new = next((one for one in getattr(new_group, "process_configs", ())
                if one.name == process.config.name), process.config)
    return new.make_process(group)


def parameters(config: Any) -> dict[str, Any]:
    """What a process's configuration is compared by."""
    names = (*ProcessConfig.req_param_names, *ProcessConfig.optional_param_names)
    return {name: getattr(config, name) for name in names}


def is_automatic(value: Any) -> bool:
    return value is Automatic


def resolved(config: Any, former: Any) -> Any:
    """A copy whose automatic log files are those that the former configuration has."""
    config = copy.copy(config)
    for channel in CHANNELS:
        key = f"{channel}_logfile"
        if getattr(config, key) is Automatic:
            setattr(config, key, getattr(former, key))
    return config


def beside(config: Any, name: str, environment: Mapping[str, str]) -> Any:
    """A copy for a process that runs beside the program's own, and is never started again."""
    config = copy.copy(config)
    config.name = name
    config.environment = {**(config.environment or {}), **environment}
    config.autostart, config.autorestart, config.startretries = False, False, 0
    return config


def start_beside(group: Any, config: Any, own_name: str, serving: Any,
                 ended: Callable[[int, str, str], None]) -> Any:
    """Spawn a successor of ``serving`` in the group. Raises ChildProcessError with the reason.

    Its child is told ``own_name`` as its process's name. ``ended`` gets the pid, how it ended
    in words, and the tail of what it wrote; it is in the group no more then.
    """
    key = config.name
    process = config.make_process(group)
    setattr(process, _ROLE, SUCCESSOR)
    as_child = process._spawn_as_child

    def spawn_as_child(filename: Any, argv: Any) -> Any:
        config.name = own_name  # in the forked child, so nobody else sees it
        return as_child(filename, argv)

    process._spawn_as_child = spawn_as_child
    tail = deque[bytes]()

    def gone(pid: int, how: str) -> None:
        _drop(group, key, process)
        ended(pid, how, b"".join(tail)[-TAIL_BYTES:].decode(errors="replace"))

    group.processes[key] = process
    try:
        pid = process.spawn()
    except BaseException:
        _drop(group, key, process)
        raise
    if not pid:
        _drop(group, key, process)
        raise ChildProcessError(process.spawnerr or "it could not be started")
    _when_finished(process, gone)
    for dispatcher in _outputs(process):
        _share_log(dispatcher, config, serving)
        _tap(dispatcher, tail)
    return process


def take_place(group: Any, name: str, process: Any, config: Any, old_key: str,
               old_gone: Callable[[], None]) -> bool:
    """Give ``process`` the name, and ``config`` as its own; rename the old one and stop it.

    Whether the old one runs on, until it has stopped.
    """
    old = group.processes[name]
    for attribute in ("finish", "_spawn_as_child"):
        process.__dict__.pop(attribute, None)
    for dispatcher in _outputs(process):
        dispatcher.__dict__.pop("record_output", None)
    process.__dict__.pop(_ROLE, None)
    for key in [key for key, one in group.processes.items() if one is process]:
        del group.processes[key]
    group.processes[name] = process
    process.config = config
    replace_config(group, config)
    if old.get_state() not in (ProcessStates.RUNNING, ProcessStates.STARTING,
                               ProcessStates.STOPPING):
        return False
    # Its own stop settings hold; it must not be started again.
    old.config = copy.copy(old.config)
    old.config.name, old.config.autorestart, old.config.autostart = old_key, False, False
    setattr(old, _ROLE, RETIRING)
    group.processes[old_key] = old
    stop_and_drop(group, old_key, old, old_gone)
    return True


def stop_and_drop(group: Any, key: str, process: Any,
                  gone: Callable[[], None] = lambda: None) -> None:
    """Stop a process as supervisor does; it leaves the group when it has ended."""

    def finished(pid: int, how: str) -> None:
        _drop(group, key, process)
        gone()

    state = process.get_state()
    if state not in (ProcessStates.RUNNING, ProcessStates.STARTING, ProcessStates.STOPPING):
        _drop(group, key, process)
        gone()
        return
    _when_finished(process, finished)
    if state != ProcessStates.STOPPING:
        process.stop()


def stop(process: Any) -> None:
    """Stop a process as supervisor does, unless it is being stopped."""
    if process.get_state() in (ProcessStates.RUNNING, ProcessStates.STARTING):
        process.stop()


def add(group: Any, config: Any) -> None:
    """A process more; supervisord starts it by itself, if it is configured so."""
    config.create_autochildlogs()
    group.processes[config.name] = config.make_process(group)


def replace_config(group: Any, config: Any) -> None:
    """Put a process's configuration in the place of the one of the same name."""
    group.config.process_configs = [
        config if one.name == config.name else one for one in group.config.process_configs]


def _drop(group: Any, key: str, process: Any) -> None:
    if group.processes.get(key) is process:
        del group.processes[key]


def _when_finished(process: Any, then: Callable[[int, str], None]) -> None:
    # supervisord reaps outside of any loop over the group, so that it may change then.
    original = type(process).finish

    def finish(pid: int, status: int) -> Any:
        process.__dict__.pop("finish", None)
        try:
            return original(process, pid, status)
        finally:
            then(pid, str(decode_wait_status(status)[1]))

    process.finish = finish


def _outputs(process: Any) -> list[Any]:
    return [one for one in process.dispatchers.values() if hasattr(one, "record_output")]


def _share_log(dispatcher: Any, config: Any, serving: Any) -> None:
    """Write through the serving process's logger: two would both rotate the file."""
    channel = dispatcher.channel
    twin = next((one for one in _outputs(serving) if one.channel == channel), None)
    if twin is None or twin.normallog is None or dispatcher.normallog is None or any(
            getattr(config, f"{channel}_{key}") != getattr(serving.config, f"{channel}_{key}")
            for key in _LOG_KEYS):
        return
    own, dispatcher.normallog = dispatcher.normallog, twin.normallog
    if dispatcher.childlog is own:
        dispatcher.childlog = twin.normallog
    own.close()


def _tap(dispatcher: Any, tail: deque[bytes]) -> None:
    """Keep the end of what the dispatcher reads."""
    original = type(dispatcher).record_output
    seen = 0

    def record_output() -> None:
        nonlocal seen
        tail.append(dispatcher.output_buffer[seen:])
        while sum(map(len, tail)) > 2 * TAIL_BYTES:
            tail.popleft()
        original(dispatcher)
        seen = len(dispatcher.output_buffer)  # what it could not make out yet, it keeps

    dispatcher.record_output = record_output
