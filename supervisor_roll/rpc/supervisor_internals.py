"""What we touch of supervisord's internals, so that two processes of one program can run.

supervisor has no way to do that, to give a process another configuration, or to change a
group in place. So this is done on its objects as they are in supervisor 4.2 and 4.3: here,
in ``successor_logs`` (what a process writes) and in ``reread``. What is relied on is listed in
``supervisor_types``, and a test fails by name where a release of supervisor no longer has it.
"""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from supervisor import options
from supervisor.datatypes import Automatic
from supervisor.process import EventListenerPool
from supervisor.states import ProcessStates

from supervisor_roll.rpc.successor_logs import SuccessorLogs
from supervisor_roll.rpc.supervisor_types import (
    Group,
    GroupConfig,
    Process,
    ProcessConfig,
    Supervisor,
)
from supervisor_roll.wire.successor import RETIRE

# On a process that is not its program's own, or not for long: what it is.
_ROLE = "roll_role"
SUCCESSOR, RETIRING, DROPPED, PREFLIGHT = "successor", "retiring", "dropped", "preflight"
_OUTPUTS = "roll_outputs"
# Gunicorn itself ends what is left of an arbiter that retires; supervisord a little later.
_MARGIN_SECS = 3
# What a process must be in to have a child that can end.
_ALIVE = (ProcessStates.STARTING, ProcessStates.RUNNING, ProcessStates.STOPPING)


def role(process: Process) -> str:
    """Return SUCCESSOR, RETIRING or DROPPED; empty for a program's own process."""
    return str(getattr(process, _ROLE, ""))


def programs(group: Group) -> dict[str, Process]:
    """Return the group's processes by name, but for those with a role beside a program's own."""
    return {name: process for name, process in group.processes.items() if not role(process)}


def is_pool(group: Group) -> bool:
    return isinstance(group, EventListenerPool)


def new_groups(supervisord: Supervisor) -> dict[str, GroupConfig]:
    """Return the group configurations that were last read, by name."""
    return {config.name: config for config in supervisord.options.process_group_configs}


def new_config(supervisord: Supervisor, process: Process) -> ProcessConfig:
    """Return the process's configuration as it was last read, or the one in force if it is gone."""
    new_group = new_groups(supervisord).get(process.group.config.name)
    configs = new_group.process_configs if new_group is not None else ()
    return next((one for one in configs if one.name == process.config.name), process.config)


def parameters(config: ProcessConfig) -> dict[str, Any]:
    """Return what a process's configuration is compared by."""
    names = (*options.ProcessConfig.req_param_names, *options.ProcessConfig.optional_param_names)
    return {name: getattr(config, name) for name in names}


def is_automatic(value: Any) -> bool:
    return value is Automatic


def beside(config: ProcessConfig, name: str, environment: Mapping[str, str]) -> ProcessConfig:
    """Copy it for a process beside the program's own, which is never started again."""
    config = copy.copy(config)
    config.name = name
    config.environment = {**(config.environment or {}), **environment}
    config.autostart, config.autorestart, config.startretries = False, False, 0
    return config


def start_beside(
    group: Group,
    config: ProcessConfig,
    own_name: str,
    serving: Process,
    ended: Callable[[int, int, str], None],
) -> Process:
    """Spawn a successor of ``serving``, as ``spawn_beside`` does."""

    def gone(pid: int, status: int, tail: str) -> None:
        serving.__dict__.pop("get_state", None)
        ended(pid, status, tail)

    process = spawn_beside(group, config, SUCCESSOR, own_name, serving, gone)
    _last_to_stop(serving, process)
    return process


def spawn_beside(
    group: Group,
    config: ProcessConfig,
    role: str,
    own_name: str,
    serving: Process,
    ended: Callable[[int, int, str], None],
    in_child: Callable[[], None] = lambda: None,
) -> Process:
    """Spawn a process beside ``serving`` in the group. Raises ChildProcessError with the reason.

    Its child is told ``own_name`` as its process's name, and calls ``in_child`` before it executes
    its command. ``ended`` gets the pid, the wait status, and the tail of what it wrote; it is in
    the group no more then.
    """
    key = config.name
    process = config.make_process(group)
    setattr(process, _ROLE, role)

    def spawn_as_child(filename: str, argv: list[str]) -> None:
        config.name = own_name  # in the forked child, so nobody else sees it
        with suppress(Exception):  # it must get no further than to be that child
            in_child()
        type(process)._spawn_as_child(process, filename, argv)

    process._spawn_as_child = spawn_as_child
    group.processes[key] = process
    try:
        pid = process.spawn()
    except BaseException:
        _drop(group, key, process)
        raise
    finally:
        process.__dict__.pop("_spawn_as_child", None)
    if not pid:
        _drop(group, key, process)
        process.dispatchers = {}
        raise ChildProcessError(process.spawnerr or "it could not be started")
    outputs = SuccessorLogs(process, serving, own_name)
    setattr(process, _OUTPUTS, outputs)

    def gone(pid: int, status: int) -> None:
        _drop(group, key, process)
        outputs.close()
        ended(pid, status, outputs.tail)

    _when_finished(process, gone)
    return process


def take_place(
    group: Group,
    name: str,
    process: Process,
    config: ProcessConfig,
    old_key: str,
    drain_secs: float,
    old_gone: Callable[[], None],
) -> bool:
    """Give ``process`` the name, and ``config`` as its own; rename the old one and retire it.

    Whether the old one runs on, until it has stopped, which may take ``drain_secs``. Raises
    OSError, and has changed nothing then, if a log file cannot be opened.
    """
    old = group.processes[name]
    getattr(process, _OUTPUTS).settle(old)
    old.__dict__.pop("get_state", None)
    for attribute in ("finish", _OUTPUTS, _ROLE):
        process.__dict__.pop(attribute, None)
    for key in [key for key, one in group.processes.items() if one is process]:
        del group.processes[key]
    group.processes[name] = process
    process.config = config
    replace_config(group, config)
    if old.get_state() not in _ALIVE:
        return False
    stop_secs = old.config.stopwaitsecs
    # It must not be started again.
    old.config = copy.copy(old.config)
    old.config.name, old.config.autorestart, old.config.autostart = old_key, False, False
    setattr(old, _ROLE, RETIRING)
    group.processes[old_key] = old

    def gone() -> None:
        for attribute in ("get_state", "stop"):
            process.__dict__.pop(attribute, None)
        old_gone()

    _last_to_stop(process, old)
    _stop_for_good(group, old_key, old, gone, drain_secs + _MARGIN_SECS)

    def stop_both() -> str | None:
        # Who stops the program waits for no longer than stopwaitsecs, as ever.
        if old.get_state() == ProcessStates.STOPPING:
            old.delay = min(old.delay, time.time() + stop_secs)
        return type(process).stop(process)

    process.stop = stop_both
    return True


def drop(group: Group, name: str) -> None:
    """Stop a process as supervisor does; it leaves the group when it has ended."""
    process = group.processes[name]
    setattr(process, _ROLE, DROPPED)
    _stop_for_good(group, name, process, lambda: None)


def stop(process: Process) -> None:
    """Stop a process as supervisor does, unless it is being stopped."""
    if process.get_state() in (ProcessStates.RUNNING, ProcessStates.STARTING):
        process.stop()


def retire(process: Process, within_secs: float | None = None) -> None:
    """Stop an arbiter that another one serves in place of, unless it is being stopped.

    TERM is what has Gunicorn finish its requests, whatever stopsignal is. It may take
    ``within_secs``; else stopwaitsecs, as ever.
    """
    if process.get_state() not in (ProcessStates.RUNNING, ProcessStates.STARTING):
        return
    config = process.config = copy.copy(process.config)
    # Only the arbiter: it tells its workers. But none of them is to outlive it.
    config.stopsignal, config.stopasgroup, config.killasgroup = signal.SIGTERM, False, True
    if within_secs is not None:
        config.stopwaitsecs = within_secs
    process.signal(getattr(signal, f"SIG{RETIRE}"))
    process.stop()


def add(group: Group, configs: list[ProcessConfig]) -> None:
    """Add processes; supervisord starts them automatically, if they are configured so.

    Raises OSError, and has added none then, if automatic log files cannot be made.
    """
    for config in configs:
        config.create_autochildlogs()
    for config in configs:
        group.processes[config.name] = config.make_process(group)


def replace_config(group: Group, config: ProcessConfig) -> None:
    """Put a process's configuration in the place of the one of the same name."""
    group.config.process_configs = [
        config if one.name == config.name else one for one in group.config.process_configs
    ]


def arrange(group: Group, configs: list[ProcessConfig]) -> None:
    """Order the group's own as ``configs``, since supervisor compares that, too."""
    order = {config.name: number for number, config in enumerate(configs)}
    group.config.process_configs = sorted(
        group.config.process_configs, key=lambda config: order.get(config.name, len(order))
    )


def _drop(group: Group, key: str, process: Process) -> None:
    if group.processes.get(key) is process:
        del group.processes[key]


def _last_to_stop(process: Process, other: Process) -> None:
    """While ``other`` is being stopped beside it, a program that is stopped has not stopped yet.

    Or an update, which waits for what it has to stop, would find the group still running then,
    and leave the program down.
    """

    def get_state() -> int:
        state = type(process).get_state(process)
        stopping = type(other).get_state(other) == ProcessStates.STOPPING
        return ProcessStates.STOPPING if stopping and state == ProcessStates.STOPPED else state

    process.get_state = get_state


def _stop_for_good(
    group: Group,
    key: str,
    process: Process,
    gone: Callable[[], None],
    drain_secs: float | None = None,
) -> None:
    """Stop it, or retire it where ``drain_secs`` are given, and take it out of the group."""

    def finished(pid: int, status: int) -> None:
        _drop(group, key, process)
        gone()

    if process.get_state() not in _ALIVE:
        _drop(group, key, process)
        gone()
        return
    _when_finished(process, finished)
    if drain_secs is None:
        stop(process)
    else:
        retire(process, drain_secs)


def _when_finished(process: Process, then: Callable[[int, int], None]) -> None:
    # supervisord reaps outside of any loop over the group, so that it may change then.
    original = type(process).finish

    def finish(pid: int, sts: int) -> None:
        process.__dict__.pop("finish", None)
        try:
            original(process, pid, sts)
        finally:
            then(pid, sts)

    process.finish = finish
