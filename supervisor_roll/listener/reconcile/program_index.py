"""Which program each process belongs to. We remember it: supervisord forgets removed ones."""

from __future__ import annotations

from supervisor_roll.listener.configuration.sections import Configuration, group_of
from supervisor_roll.wire.successor import Reread, Resize


class ProgramIndex:
    """``programs`` gives the NAME of the ``[program:NAME]`` section of each process.

    ``groups`` gives the NAMEs of each group whose programs all have a ``[roll:NAME]`` section, or
    had one when they were configured last.
    """

    def __init__(self) -> None:
        self.programs: dict[str, str] = {}
        self.groups: dict[str, list[str]] = {}

    def learn(self, configuration: Configuration) -> bool:
        """Whether ``groups`` is another one now."""
        before = self.groups
        configured: dict[str, set[str]] = {}
        for namespec, name in configuration.programs.items():
            configured.setdefault(group_of(namespec), set()).add(name)
        self.programs |= configuration.programs
        self.groups = {group: names for group, names in before.items() if group not in configured}
        self.groups |= {
            group: sorted(names)
            for group, names in configured.items()
            if names <= configuration.sections
        }
        return before != self.groups

    def forget(self, configuration: Configuration, found: Reread) -> bool:
        """Drop what is gone altogether. Whether ``groups`` is another one now."""
        kept = {group_of(namespec) for namespec in configuration.programs} | set(found.removed)
        self.programs = {
            namespec: name for namespec, name in self.programs.items() if group_of(namespec) in kept
        }
        before = self.groups
        self.groups = {group: names for group, names in before.items() if group in kept}
        return before != self.groups

    def in_group(self, group: str) -> set[str]:
        """Return the programs that are in the group, or were."""
        return {
            name for namespec, name in self.programs.items() if group_of(namespec) == group
        } | set(self.groups.get(group, ()))

    def of(self, resize: Resize) -> set[str]:
        """Return the programs whose processes come and go; all of the group's if unknown."""
        changed = [*resize.added, *resize.dropped]
        if not self.programs.keys() >= set(changed):
            return self.in_group(resize.group)
        return {self.programs[namespec] for namespec in changed}
