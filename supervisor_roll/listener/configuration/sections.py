"""supervisord's configuration, read for what a rollout needs of it.

Needed are the ``[roll:NAME]`` sections, which process comes from which ``[program:NAME]``,
the HTTP server's password, and which files all that comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supervisor.options import split_namespec

from supervisor_roll.listener.configuration.supervisor_files import (
    BadConfiguration as BadConfiguration,
)
from supervisor_roll.listener.configuration.supervisor_files import Source
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.settings import Settings


def group_of(namespec: str) -> str:
    group: str = split_namespec(namespec)[0]
    return group


def names_of(namespec: str) -> set[str]:
    """Return what supervisorctl takes for the process, but for "all": also its group's names."""
    group = group_of(namespec)
    return {namespec, group, f"{group}:*"}


@dataclass(frozen=True)
class Configuration:
    """What the configuration file, with the files that it includes, says about rollouts.

    ``settings`` and ``bad`` are keyed by the NAME of a ``[roll:NAME]`` section: it is in the
    one or in the other. ``of_all`` is what ``[roll]`` says, or why that is bad.

    ``programs`` gives for each process, by its namespec, the NAME of the ``[program:NAME]`` or
    ``[fcgi-program:NAME]`` section that it comes from. ``files`` are the main file and then the
    included ones, in the order in which they were read; ``patterns`` are what ``[include]`` names,
    made absolute. ``users`` are the ids of those whom programs run as.
    """

    path: str
    settings: Mapping[str, Settings]
    bad: Mapping[str, BadSetting]
    programs: Mapping[str, str]
    files: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    users: frozenset[int] = frozenset()
    of_all: int | BadSetting = 1

    @property
    def parallel(self) -> int:
        """How many programs of a job are rolled at once. Raises BadSetting."""
        if isinstance(self.of_all, BadSetting):
            raise self.of_all.at(self.of_all.place)
        return self.of_all

    @property
    def sections(self) -> frozenset[str]:
        """The NAMEs that have a ``[roll:NAME]`` section, good or bad."""
        return frozenset(self.settings) | frozenset(self.bad)

    def namespecs(self, name: str) -> list[str]:
        """Return the processes of ``[program:name]``, in supervisor's order."""
        return [namespec for namespec, program in self.programs.items() if program == name]

    def settings_for(self, namespec: str) -> Settings:
        """Return the settings of the process's program; the defaults if it has no section.

        Raises BadSetting if its section has an error.
        """
        # A process may run that the file no longer names, or never did: it goes by its own name.
        name = self.programs.get(namespec) or split_namespec(namespec)[1] or namespec
        if name in self.bad:
            raise self.bad[name].at(self.bad[name].place)
        return self.settings.get(name, Settings())


def read(path: str) -> Configuration:
    """Return the configuration in the file ``path`` and the files that it includes.

    Raises BadConfiguration if supervisor's parser cannot read it or cannot name its processes.
    An error in a ``[roll:NAME]`` section is no such error: it is kept under ``bad``.
    """
    source = Source(path)
    programs = source.programs()
    settings: dict[str, Settings] = {}
    bad: dict[str, BadSetting] = {}
    of_all: int | BadSetting = 1
    for section in source.parser.sections():
        if section == "roll":
            try:
                of_all = source.parallel()
            except BadSetting as why:
                of_all = why.at(f"{source.parser.section_to_file[section]} [roll]")
        if not section.startswith("roll:"):
            continue
        name = section.partition(":")[2].strip()
        try:
            settings[name] = source.settings(section, name)
        except BadSetting as why:
            bad[name] = why.at(f"{source.parser.section_to_file[section]} [{section}]")
    return Configuration(
        source.path,
        settings,
        bad,
        programs,
        tuple(source.files.values()),
        source.patterns,
        source.users(),
        of_all,
    )


def credentials(path: str, server_url: str) -> tuple[str | None, str | None]:
    """Return the user name and password that ``server_url`` asks for, by the file ``path``.

    ``server_url`` is as supervisord gives it to its children in SUPERVISOR_SERVER_URL. Both are
    None if that server asks for none, or is not known; the password alone is None if the file has
    only its ``{SHA}`` digest. Raises BadConfiguration.
    """
    username, password = Source(path).login(server_url)
    return username, None if password and password.startswith("{SHA}") else password
