"""What is kept of each program, for as long as its group is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from supervisor_roll.rpc import program_names
from supervisor_roll.rpc.supervisor_types import Group, Supervisor


class _OfGroup(Protocol):
    group: Group


_Kept = TypeVar("_Kept", bound=_OfGroup)


class PerProgram(Generic[_Kept]):
    """``new`` makes what there is of a program of which nothing is kept."""

    def __init__(self, new: Callable[[Group], _Kept]) -> None:
        self._new = new
        self._kept: dict[str, _Kept] = {}

    def of(self, namespec: str, group: Group) -> _Kept:
        """Return what is kept of it: nothing if its group was removed and added again."""
        kept = self._kept.get(namespec)
        return kept if kept is not None and kept.group is group else self._new(group)

    def keep(self, supervisord: Supervisor, namespec: str, kept: _Kept) -> None:
        """Keep it, and forget programs that are gone, so that this does not grow for ever."""
        self._kept[namespec] = kept
        everyone = {name for name, _ in program_names.all_processes(supervisord.process_groups)}
        for gone in self._kept.keys() - everyone:
            del self._kept[gone]
