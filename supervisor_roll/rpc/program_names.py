"""From the names that an operator gives to programs, as supervisor itself reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from supervisor.options import make_namespec, split_namespec
from supervisor.process import EventListenerPool
from supervisor.states import ProcessStates, getProcessStateDescription
from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll.rpc import supervisor_internals
from supervisor_roll.rpc.supervisor_types import Group, Process
from supervisor_roll.wire.printable import printable

# One that was replaced a moment ago is STARTING for its startsecs: the listener waits for that.
_RUNS = (ProcessStates.RUNNING, ProcessStates.STARTING)


@dataclass
class Expansion:
    """Programs in order, each once; those left out, with why; whether a wildcard was used."""

    programs: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    wildcard: bool = False


def expand(process_groups: dict[str, Group], names: list[str], must_run: bool) -> Expansion:
    """Return the programs that ``names`` mean. Raises RPCError (BAD_NAME, NOT_RUNNING).

    ``must_run``: a program named exactly must be RUNNING, or be about to, and one that a
    wildcard meets is skipped if it is not.
    """
    found = Expansion()
    programs, skipped = dict[str, None](), dict[str, str]()
    for name in names:
        group_name, process_name = split_namespec(name)
        group = process_groups.get(group_name)
        if name == "all" or process_name is None:
            found.wildcard = True
            if name == "all":
                groups = sorted(process_groups.values())
            elif group is None:
                raise RPCError(Faults.BAD_NAME, f"{shown(name)}: ERROR (no such group)")
            else:
                groups = [group]
            for namespec, process in _members(groups):
                if must_run and process.get_state() not in _RUNS:
                    skipped[namespec] = f"not running: it is {state_name(process)}"
                else:
                    programs[namespec] = None
            continue
        named = group.processes.get(process_name) if group is not None else None
        if named is None or supervisor_internals.role(named):
            raise RPCError(Faults.BAD_NAME, f"{shown(name)}: ERROR (no such process)")
        if must_run and named.get_state() not in _RUNS:
            raise RPCError(
                Faults.NOT_RUNNING,
                f"{shown(name)}: ERROR (not running: it is {state_name(named)})",
            )
        programs[make_namespec(group_name, process_name)] = None
    found.programs, found.skipped = list(programs), list(skipped.items())
    return found


def all_processes(process_groups: dict[str, Group]) -> Iterator[tuple[str, Process]]:
    """Yield every process of supervisord with its namespec."""
    for group in process_groups.values():
        for process in group.processes.values():
            yield make_namespec(group.config.name, process.config.name), process


def state_name(process: Process) -> str:
    return str(getProcessStateDescription(process.get_state()))


def shown(text: str) -> str:
    """``text`` as it may stand in a fault: XML cannot carry control characters."""
    return printable(text)


def _members(groups: list[Group]) -> Iterator[tuple[str, Process]]:
    for group in groups:
        if not isinstance(group, EventListenerPool):
            for process in sorted(supervisor_internals.programs(group).values()):
                yield make_namespec(group.config.name, process.config.name), process
