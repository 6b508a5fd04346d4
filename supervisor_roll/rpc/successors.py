"""The programs' successors: their rules. What it takes inside supervisord is ``internals``'.

At most one successor and one retiring process of a program at a time. Both leave the group by
themselves when they end, whether a listener is there or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from supervisor.options import make_namespec, split_namespec
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.rpc import changes, internals, names
from supervisor_roll.wire.succession import (
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
class _Entry:
    """What there is beside a program's own process, and what came of the last successor."""

    group: Any
    successor: Any = None
    config: Any = None  # what the successor is to have once it is promoted
    priority: int | None = None
    retiring: Any = None
    ended: str = ""
    tail: str = ""


class Successors:
    """Lives on the Supervisor object, as the mailbox does. All methods raise RPCError."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def succeed(self, supervisord: Any, namespec: str) -> Succession:
        """Start a successor of a RUNNING process, from the configuration that was last read."""
        group, name, serving = self._found(supervisord, namespec)
        entry = self._entries.get(namespec)
        # Processes compare by their priority, so never with == or in.
        if (entry is not None and entry.group is group
                and entry.successor is not None and entry.successor is not serving):
            if entry.successor.get_state() != ProcessStates.STOPPING:
                return self.shown(supervisord, namespec)
            raise _failed(f"{namespec}: its last successor is still being stopped")
        mood = supervisord.options.mood
        if isinstance(mood, int) and mood < SupervisorStates.RUNNING:
            raise RPCError(Faults.SHUTDOWN_STATE)
        if serving.get_state() != ProcessStates.RUNNING:
            raise RPCError(Faults.NOT_RUNNING,
                           f"{namespec}: it is {names.state_name(serving)}")
        for suffix in (SUCCESSOR_SUFFIX, RETIRING_SUFFIX):
            other = group.processes.get(name + suffix)
            if other is not None:
                raise _failed(f"{namespec}: {name + suffix} is still there (pid {other.pid})")
        new_group = internals.new_groups(supervisord).get(group.config.name)
        new = next((one for one in getattr(new_group, "process_configs", ())
                    if one.name == name), serving.config)
        found = changes.change(group, new_group, name) if new_group is not None else None
        if found is not None and found.why:
            raise _failed(f"{namespec}: {found.why}")
        config = internals.resolved(new, serving.config)
        entry = _Entry(group, config=config, priority=getattr(new_group, "priority", None))
        old_pid = str(serving.pid)

        def ended(pid: int, how: str, tail: str) -> None:
            entry.successor = None
            entry.ended, entry.tail = f"(pid {pid}) ended: {how}", tail

        try:
            entry.successor = internals.start_beside(
                group, internals.beside(config, name + SUCCESSOR_SUFFIX, {
                    SUCCESSOR_VARIABLE: old_pid, GUNICORN_VARIABLE: old_pid}),
                name, serving, ended)
        except ChildProcessError as error:
            raise RPCError(Faults.SPAWN_ERROR, f"{namespec}: {error}") from None
        self._entries[namespec] = entry
        self._forget(supervisord)
        return self.shown(supervisord, namespec)

    def promote(self, supervisord: Any, namespec: str) -> Succession:
        """The successor takes the name and the configuration; the old process retires."""
        group, name, serving = self._found(supervisord, namespec)
        entry = self._entries.get(namespec)
        if entry is None or entry.group is not group or entry.config is None:
            raise _failed(f"{namespec}: it has no successor")
        if entry.successor is serving:
            return self.shown(supervisord, namespec)
        if entry.successor is None or entry.successor.get_state() not in (
                ProcessStates.RUNNING, ProcessStates.STARTING):
            raise _failed(f"{namespec}: its successor {entry.ended or 'does not run'}")

        def gone() -> None:
            entry.retiring = None

        # Before it may be gone already.
        entry.retiring = serving
        if not internals.take_place(group, name, entry.successor, entry.config,
                                    name + RETIRING_SUFFIX, gone):
            entry.retiring = None
        if entry.priority is not None:
            group.config.priority = entry.priority
        return self.shown(supervisord, namespec)

    def discard(self, supervisord: Any, namespec: str) -> Succession:
        """Stop the successor, as supervisor stops a process, unless it is promoted."""
        _, _, serving = self._found(supervisord, namespec)
        entry = self._entries.get(namespec)
        if entry is not None and entry.successor is not None and entry.successor is not serving:
            internals.stop(entry.successor)
        return self.shown(supervisord, namespec)

    def shown(self, supervisord: Any, namespec: str) -> Succession:
        """What there is of a program now."""
        _, _, serving = self._found(supervisord, namespec)
        entry = self._entries.get(namespec) or _Entry(None)
        successor = None if entry.successor is serving else entry.successor
        return Succession(
            serving.pid, names.state_name(serving),
            successor.pid if successor is not None else 0,
            names.state_name(successor) if successor is not None else "",
            entry.retiring.pid if entry.retiring is not None else 0, entry.ended, entry.tail)

    def adopt(self, supervisord: Any, namespec: str) -> None:
        """Heed changes that need no other process."""
        group, name, process = self._found(supervisord, namespec)
        new_group = internals.new_groups(supervisord).get(group.config.name)
        found = changes.change(group, new_group, name) if new_group is not None else None
        if new_group is None or found is None:
            return
        others = sorted(key for key, effect in found.keys.items() if effect != LIVE)
        if others:
            raise _failed(f"{namespec}: {', '.join(others)} cannot be changed while it runs")
        config = next(one for one in new_group.process_configs if one.name == name)
        process.config = internals.resolved(config, process.config)
        internals.replace_config(group, process.config)
        group.config.priority = new_group.priority

    def resize(self, supervisord: Any, group_name: str) -> Resize:
        """Start the processes that a group has gained, and stop those that it has lost."""
        group = supervisord.process_groups.get(group_name)
        new_group = internals.new_groups(supervisord).get(group_name)
        if group is None or new_group is None or internals.is_pool(group):
            raise RPCError(Faults.BAD_NAME, names.shown(group_name))
        found = next((one for one in changes.reread(
            {group_name: group}, {group_name: new_group}).resized), Resize(group_name))
        if found.refused:
            raise _failed(f"{group_name}: {found.refused}")
        now = {one.name: one for one in group.config.process_configs}
        for config in new_group.process_configs:
            if config.name not in now:
                internals.add(group, config)
        group.config.process_configs = [
            now.get(config.name, config) for config in new_group.process_configs]
        for namespec in found.dropped:
            name = split_namespec(namespec)[1]
            internals.stop_and_drop(group, name, group.processes[name])
            self.discard_of(namespec)
        return found

    def discard_of(self, namespec: str) -> None:
        """Stop the successor of a program that is not there any more."""
        entry = self._entries.get(namespec)
        if entry is not None and entry.successor is not None:
            internals.stop(entry.successor)

    def _found(self, supervisord: Any, namespec: str) -> tuple[Any, str, Any]:
        group_name, name = split_namespec(namespec) if isinstance(namespec, str) else ("", "")
        group = supervisord.process_groups.get(group_name)
        process = group.processes.get(name) if group is not None and name else None
        if process is None or internals.role(process) or internals.is_pool(group):
            raise RPCError(Faults.BAD_NAME, names.shown(str(namespec)[:80]))
        return group, name, process

    def _forget(self, supervisord: Any) -> None:
        """Programs that are gone, so that this does not grow for ever."""
        everyone = {make_namespec(group.config.name, name)
                    for group in supervisord.process_groups.values() for name in group.processes}
        for namespec in self._entries.keys() - everyone:
            del self._entries[namespec]


def _failed(text: str) -> RPCError:
    return RPCError(Faults.FAILED, names.shown(text))
