"""The programs' successors: their rules. What it takes inside supervisord is ``internals``'.

At most one successor and one retiring process of a program at a time. Both leave the group by
themselves when they end, whether a listener is there or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervisor.options import decode_wait_status, make_namespec, split_namespec
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.rpc import config_changes, program_names, successor_logs, supervisor_internals
from supervisor_roll.rpc.per_program import PerProgram
from supervisor_roll.rpc.supervisor_types import (
    Group,
    GroupConfig,
    Process,
    ProcessConfig,
    Supervisor,
)
from supervisor_roll.wire.successor import (
    LIVE,
    RETIRING_SUFFIX,
    SUCCESSOR_SUFFIX,
    SUCCESSOR_VARIABLE,
    Resize,
    Succession,
)

# How Gunicorn's own upgrade tells the new arbiter of the old one (Arbiter.reexec, USR2): its
# pidfile is another then; and without our hooks it ends, before it opens or removes a socket.
GUNICORN_VARIABLE = "GUNICORN_PID"


@dataclass
class Pair:
    """What there is beside a program's own process, and what came of the last successor."""

    group: Group
    successor: Process | None = None
    config: ProcessConfig | None = None  # what the successor is to have once it is promoted
    new_group: GroupConfig | None = None  # the group's configuration that came with it
    retiring: Process | None = None
    ended: str = ""
    tail: str = ""


class Successors:
    """Lives on the Supervisor object, as the mailbox does. All methods raise RPCError."""

    def __init__(self) -> None:
        self._pairs = PerProgram(Pair)

    def succeed(self, supervisord: Supervisor, namespec: str) -> Succession:
        """Start a successor of a RUNNING process, from the configuration that was last read."""
        namespec, group, name, serving = found_program(supervisord, namespec)
        entry = self._pairs.of(namespec, group)
        # Processes compare by their priority, so never with == or in.
        if entry.successor is not None and entry.successor is not serving:
            if entry.successor.get_state() != ProcessStates.STOPPING:
                return self.shown(supervisord, namespec)
            raise failed(f"{namespec}: its last successor is still being stopped")
        check_serving(supervisord, namespec, serving)
        for suffix in (SUCCESSOR_SUFFIX, RETIRING_SUFFIX):
            check_free(group, name + suffix, namespec)
        new_group = supervisor_internals.new_groups(supervisord).get(group.config.name)
        new = supervisor_internals.new_config(supervisord, serving)
        found = config_changes.change(group, new_group, name) if new_group is not None else None
        if found is not None and found.why:
            raise failed(f"{namespec}: {found.why}")
        try:
            entry = self._started(group, name, serving, new)
        except ChildProcessError as error:
            raise RPCError(
                Faults.SPAWN_ERROR, program_names.shown(f"{namespec}: {error}")
            ) from None
        entry.new_group = new_group
        self._pairs.keep(supervisord, namespec, entry)
        return self.shown(supervisord, namespec)

    def promote(self, supervisord: Supervisor, namespec: str, drain_secs: float) -> Succession:
        """Give the successor the name and the configuration, and retire the old process.

        It may take ``drain_secs`` to finish its requests, whatever its section says of stops.
        """
        check_secs("drain_secs", drain_secs)
        supervisord.reap()  # a successor that has just exited must not be promoted
        namespec, group, name, serving = found_program(supervisord, namespec)
        entry = self._pairs.of(namespec, group)
        if entry.config is None:
            raise failed(
                f"{namespec}: its successor {entry.ended}"
                if entry.ended
                else f"{namespec}: it has no successor"
            )
        if entry.successor is serving:
            return self.shown(supervisord, namespec)
        if entry.successor is None or entry.successor.get_state() not in (
            ProcessStates.RUNNING,
            ProcessStates.STARTING,
        ):
            raise failed(f"{namespec}: its successor {entry.ended or 'is being stopped'}")
        if serving.administrative_stop and serving.get_state() in (
            ProcessStates.STOPPING,
            ProcessStates.STOPPED,
        ):
            # Who stops a program does not want to see it run again.
            raise failed(f"{namespec}: it has been stopped meanwhile")
        check_free(group, name + RETIRING_SUFFIX, namespec)

        def gone() -> None:
            entry.retiring = None

        # Before it may be gone already.
        entry.retiring = serving
        try:
            runs_on = supervisor_internals.take_place(
                group,
                name,
                entry.successor,
                entry.config,
                name + RETIRING_SUFFIX,
                drain_secs,
                gone,
            )
        except OSError as error:
            entry.retiring = None
            raise failed(f"{namespec}: its log files cannot be opened: {error}") from None
        if not runs_on:
            entry.retiring = None
        if entry.new_group is not None:
            _follow(group, entry.new_group)
        entry.new_group = None
        return self.shown(supervisord, namespec)

    def discard(self, supervisord: Supervisor, namespec: str) -> Succession:
        """Stop the successor within its stopwaitsecs, unless it is promoted.

        It may serve already, and so is stopped as what retires.
        """
        namespec, group, _, serving = found_program(supervisord, namespec)
        entry = self._pairs.of(namespec, group)
        if entry.successor is not None and entry.successor is not serving:
            supervisor_internals.retire(entry.successor)
        return self.shown(supervisord, namespec)

    def shown(self, supervisord: Supervisor, namespec: str) -> Succession:
        """Return what there is of a program now."""
        namespec, group, _, serving = found_program(supervisord, namespec)
        entry = self._pairs.of(namespec, group)
        successor = None if entry.successor is serving else entry.successor
        return Succession(
            serving.pid,
            program_names.state_name(serving),
            successor.pid if successor is not None else 0,
            program_names.state_name(successor) if successor is not None else "",
            entry.retiring.pid if entry.retiring is not None else 0,
            entry.ended,
            entry.tail,
        )

    def adopt(self, supervisord: Supervisor, namespec: str) -> None:
        """Apply changes that need no other process."""
        namespec, group, name, process = found_program(supervisord, namespec)
        new_group = supervisor_internals.new_groups(supervisord).get(group.config.name)
        found = config_changes.change(group, new_group, name) if new_group is not None else None
        if new_group is None or found is None:
            return
        others = sorted(key for key, effect in found.keys.items() if effect != LIVE)
        if others:
            raise failed(f"{namespec}: {', '.join(others)} cannot be changed while it runs")
        config = next(one for one in new_group.process_configs if one.name == name)
        process.config = successor_logs.resolved(config, process.config)
        supervisor_internals.replace_config(group, process.config)
        _follow(group, new_group)

    def resize(self, supervisord: Supervisor, group_name: str) -> Resize:
        """Start the processes that a group has gained, and stop those that it has lost."""
        groups, new_groups = (
            supervisord.process_groups,
            supervisor_internals.new_groups(supervisord),
        )
        if (
            not isinstance(group_name, str)
            or group_name not in groups
            or group_name not in new_groups
            or supervisor_internals.is_pool(groups[group_name])
        ):
            raise RPCError(Faults.BAD_NAME, program_names.shown(str(group_name)[:80]))
        group, new_group = groups[group_name], new_groups[group_name]
        found = next(
            iter(config_changes.reread({group_name: group}, {group_name: new_group}).resized),
            Resize(group_name),
        )
        if found.refused:
            raise failed(f"{group_name}: {found.refused}")
        now = {one.name: one for one in group.config.process_configs}
        added = [config for config in new_group.process_configs if config.name not in now]
        for config in added:
            check_free(group, config.name, group_name)
        try:
            supervisor_internals.add(group, added)
        except OSError as error:
            raise failed(f"{group_name}: log files cannot be made: {error}") from None
        group.config.process_configs = [
            now.get(config.name, config) for config in new_group.process_configs
        ]
        for namespec in found.dropped:
            supervisor_internals.drop(group, split_namespec(namespec)[1])
            successor = self._pairs.of(namespec, group).successor
            if successor is not None:
                supervisor_internals.stop(successor)
        return found

    def _started(self, group: Group, name: str, serving: Process, new: ProcessConfig) -> Pair:
        """Start the successor. Raises ChildProcessError."""
        config, logs = successor_logs.with_logs(new, serving.config)
        entry = Pair(group, config=config)
        old_pid = str(serving.pid)

        def ended(pid: int, status: int, tail: str) -> None:
            entry.successor = None
            entry.ended = f"(pid {pid}) ended: {decode_wait_status(status)[1]}"
            entry.tail = tail
            successor_logs.remove_logs(logs)

        try:
            entry.successor = supervisor_internals.start_beside(
                group,
                supervisor_internals.beside(
                    config,
                    name + SUCCESSOR_SUFFIX,
                    {SUCCESSOR_VARIABLE: old_pid, GUNICORN_VARIABLE: old_pid},
                ),
                name,
                serving,
                ended,
            )
        except ChildProcessError:
            successor_logs.remove_logs(logs)
            raise
        return entry


def found_program(supervisord: Supervisor, namespec: str) -> tuple[str, Group, str, Process]:
    """Return its namespec as supervisor writes it, its group, name and process."""
    group_name, name = split_namespec(namespec) if isinstance(namespec, str) else ("", "")
    group = supervisord.process_groups.get(group_name)
    process = group.processes.get(name) if group is not None and name else None
    if (
        group is None
        or process is None
        or supervisor_internals.role(process)
        or supervisor_internals.is_pool(group)
    ):
        raise RPCError(Faults.BAD_NAME, program_names.shown(str(namespec)[:80]))
    return make_namespec(group_name, name), group, name, process


def check_serving(supervisord: Supervisor, namespec: str, process: Process) -> None:
    """Raise RPCError where nothing is to be started beside the process now."""
    mood = supervisord.options.mood
    if isinstance(mood, int) and mood < SupervisorStates.RUNNING:
        raise RPCError(Faults.SHUTDOWN_STATE)
    if process.get_state() != ProcessStates.RUNNING:
        raise RPCError(Faults.NOT_RUNNING, f"{namespec}: it is {program_names.state_name(process)}")


def check_secs(name: str, value: object) -> None:
    """Raise RPCError if the value is no duration."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e9:
        raise RPCError(Faults.BAD_ARGUMENTS, f"{name}: more than 0, not {value!r:.40}")


def failed(text: str) -> RPCError:
    return RPCError(Faults.FAILED, program_names.shown(text))


def check_free(group: Group, name: str, of: str) -> None:
    """Raise RPCError if the group has a process of that name."""
    other = group.processes.get(name)
    if other is not None:
        raise failed(
            f"{of}: {name} is still there ({program_names.state_name(other)}, pid {other.pid})"
        )


def _follow(group: Group, new_group: GroupConfig) -> None:
    """Apply what the group itself has, beside its processes' own."""
    group.config.priority = new_group.priority
    supervisor_internals.arrange(group, new_group.process_configs)
