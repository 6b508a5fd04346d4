"""``rollupdate``: all that the configuration has changed, whatever failed before.

What it cannot do without downtime, or has no settings for, is left to the operator, with the
command to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from supervisor_roll.listener.configuration.sections import Configuration, group_of, names_of
from supervisor_roll.listener.reconcile.operations import (
    ADD,
    REMOVE,
    RUNNING,
    Operation,
    operations_for,
    resizing,
    why_not,
)
from supervisor_roll.listener.reconcile.program_index import ProgramIndex
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.successor import Change, Reread, Resize

# How a text ends that says so of a name.
UNKNOWN = "no such program, process or group is configured"


@dataclass
class RequestedUpdate:
    """Fills ``operations`` with what is to be done, and ``left`` with what is not, in words.

    ``names`` may be "all", namespecs, NAMEs of programs, groups and ``group:*``.
    """

    names: list[str]
    configuration: Configuration
    found: Reread
    state: Callable[[str], str]
    index: ProgramIndex
    operations: list[Operation] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def answer(self) -> tuple[list[Operation], list[str]]:
        self._unknown()
        for resize in self.found.resized:
            if any(self._wanted(one) for one in (*resize.added, *resize.dropped)):
                self._resize(resize)
        self._programs()
        self._whole_groups()
        return self.operations, self.left

    def _wanted(self, namespec: str) -> bool:
        forms = {"all", *names_of(namespec), self.index.programs.get(namespec)}
        return not forms.isdisjoint(self.names)

    def _unknown(self) -> None:
        namespecs = [
            *self.configuration.programs,
            *self.found.removed,
            *(one for resize in self.found.resized for one in resize.dropped),
        ]
        known = {"all", *self.configuration.programs.values()}
        known |= {form for one in namespecs for form in names_of(one)}
        unknown = [name for name in dict.fromkeys(self.names) if name not in known]
        if unknown:
            self.left.append(f"{', '.join(unknown)}: {UNKNOWN}")

    def _resize(self, resize: Resize) -> None:
        lacking = self.index.of(resize) - self.configuration.sections
        if lacking:
            self._leave(resize.group, "now has other processes", lacking, resize.group)
        elif resize.refused:
            self.left.append(f"{resize.group}: {resize.refused}")
        else:
            self.operations.append(resizing(resize))

    def _programs(self) -> None:
        """Handle the processes that are there before and after."""
        changes = {one.namespec: one for one in self.found.changes if self._wanted(one.namespec)}
        changed: dict[str, list[str]] = {}
        for namespec, name in self.configuration.programs.items():
            if namespec in changes:
                changed.setdefault(name, []).append(namespec)
        for name, namespecs in changed.items():
            if name in self.configuration.settings:
                settings = self.configuration.settings[name]
                self.operations += operations_for(
                    [one for one in namespecs if self._unhindered(changes[one], settings)], changes
                )
            elif name in self.configuration.bad:
                self.left.append(f"{name} has changed: {self.configuration.bad[name]}")
            else:
                self._leave(name, "has changed", [name], *map(group_of, namespecs))

    def _unhindered(self, change: Change, settings: Settings) -> bool:
        why = why_not(change, settings)
        if not why and self.state(change.namespec) != RUNNING:
            why = (
                f"{change.namespec} has changed and does not run: "
                f"supervisorctl update {group_of(change.namespec)}"
            )
        if why:
            self.left.append(why)
        return not why

    def _whole_groups(self) -> None:
        """Handle the groups that are new, and those that are no longer configured."""
        before = {group: self.index.in_group(group) for group in self.found.removed}
        moved: set[str] = set()
        added, removed = [], []
        for group in self.found.added:
            programs = {
                name
                for namespec, name in self.configuration.programs.items()
                if group_of(namespec) == group
            }
            origins = [one for one, names in before.items() if names & programs]
            lacking = programs - self.configuration.sections
            if not self._wanted_group(group, programs):
                continue
            if origins:
                # Its old processes and its new ones would want the same sockets at once.
                moved.update(origins)
                self.left.append(
                    f"{', '.join(sorted(programs))} moved from group "
                    f"{', '.join(origins)} to {group}: "
                    f"supervisorctl update {' '.join([*origins, group])}"
                )
            elif lacking or not programs:
                self._leave(group, "is new", lacking, group)
            else:
                added.append(Operation(ADD, [group], "it is new"))
        for group in self.found.removed:
            if group in moved or not self._wanted_group(group, before[group]):
                continue
            if group in self.index.groups:
                removed.append(Operation(REMOVE, [group], "it is no longer configured"))
            else:
                self.left.append(
                    f"{group} is no longer configured and had no [roll:] section: "
                    f"supervisorctl update {group}"
                )
        self.operations += added + removed

    def _wanted_group(self, group: str, programs: Iterable[str]) -> bool:
        return not {"all", group, f"{group}:*", *programs}.isdisjoint(self.names)

    def _leave(self, what: str, has: str, lacking: Iterable[str], *groups: str) -> None:
        sections = ", ".join(f"[roll:{name}]" for name in sorted(lacking)) or "[roll:]"
        self.left.append(
            f"{what} {has} and has no {sections} section: "
            f"supervisorctl update {' '.join(dict.fromkeys(groups))}"
        )
