"""supervisord's configuration files, as text that supervisor's own parser has read.

The listener reads the files that supervisord read, but from another working directory, perhaps
as another user, and perhaps after somebody has edited them. ``ServerOptions.read_config`` would
check everything else too: that the folders of relative log files exist, that users do, that
each plugin can be imported (into the listener). None of that may keep a program from being
rolled. So supervisor's own parser reads the files, by supervisor's include rules, and
supervisor's own code names the processes, but it is shown only the options that names depend
on (`_Naming`).

Two things differ from supervisor, both in ``[roll:NAME]`` only: a ``%`` that begins no
``%(name)s`` stands for itself, so that ``max_surge=25%`` is what it looks like (``%%`` means
``%`` too), and a section that is written twice is an error instead of being merged.
Values that come from a ``[DEFAULT]`` section are not taken.
"""

from __future__ import annotations

import configparser
import glob
import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from supervisor.datatypes import (
    dict_of_key_value_pairs,
    name_to_uid,
    process_or_group_name,
)
from supervisor.options import (
    ServerOptions,
    UnhosedConfigParser,
    expand,
    make_namespec,
)

from supervisor_roll.rollout.errors import BadSetting, RollError
from supervisor_roll.rollout.settings import Settings, parsed_parallel


class BadConfiguration(RollError):
    """supervisord's configuration cannot be read. Names the file, the section if known, and why."""

    def __init__(self, path: str, why: str, section: str = "") -> None:
        self.path, self.section, self.why = path, section, why
        super().__init__(f"{path}{f' [{section}]' if section else ''}: {why}")


class _Options(ServerOptions):
    """supervisor's options, which also note the section that each process comes from."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.configfile = path
        self.here = os.path.dirname(path)  # noqa: PTH120
        self.programs: dict[str, str] = {}  # namespec -> NAME
        self.groups: dict[str, list[str]] = {}  # NAME -> the groups it is in

    def processes_from_section(
        self, parser: Any, section: str, group_name: str, klass: Any = None
    ) -> list[Any]:
        try:
            processes: list[Any] = super().processes_from_section(
                parser, section, group_name, klass
            )
        except ValueError as why:
            path = parser.section_to_file[section]
            text = one_line(why).removesuffix(f" in section {section!r} (file: {path!r})")
            raise BadConfiguration(path, text, section) from None
        name = process_or_group_name(section.partition(":")[2])
        self.groups.setdefault(name, []).append(group_name)
        for process in processes:
            self.programs[make_namespec(group_name, process.name)] = name
        return processes


class _Naming:
    """A parser that shows only what the names of programs' processes depend on.

    Every other option reads as if it were not set, and the two that must be set as a constant.
    """

    _NAMING = ("programs", "process_name", "numprocs", "numprocs_start", "environment")
    _REQUIRED: Mapping[str, str] = {"command": "true", "socket": "tcp://localhost:1"}

    def __init__(self, parser: UnhosedConfigParser) -> None:
        self._parser = parser
        self.section_to_file = parser.section_to_file

    def sections(self) -> list[str]:
        return [
            section
            for section in self._parser.sections()
            if section.startswith(("group:", "program:", "fcgi-program:"))
        ]

    def saneget(
        self,
        section: str,
        option: str,
        default: Any = None,
        do_expand: bool = True,
        expansions: Mapping[str, Any] | None = None,
    ) -> Any:
        if option in self._REQUIRED:
            return self._REQUIRED[option]
        if option not in self._NAMING:
            return default
        return self._parser.saneget(section, option, default, do_expand, expansions or {})


def included(patterns: Iterable[str]) -> list[str]:
    """Return the paths that absolute include patterns match now, in supervisor's order."""
    return [path for pattern in patterns for path in sorted(glob.glob(pattern))]  # noqa: PTH207


def included_folders(patterns: Iterable[str]) -> list[str]:
    """Return the folders in which something may come that absolute patterns match."""
    folders = list[str]()
    for pattern in patterns:
        folder = os.path.dirname(pattern)  # noqa: PTH120
        while glob.has_magic(folder):
            folders += glob.glob(f"{folder}/")  # noqa: PTH207
            folder = os.path.dirname(folder)  # noqa: PTH120
        folders.append(f"{folder}/")  # even if it is not there yet
    return folders


class Source:
    """The parsed text of the main file and the files that it includes. Raises BadConfiguration."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100
        self.options = _Options(self.path)
        self.parser = UnhosedConfigParser()
        self.parser.expansions = self.options.environ_expansions
        self.files: dict[str, str] = {}  # real path -> the path that it was read by
        self.patterns: tuple[str, ...] = ()  # absolute, of [include]
        self._written: dict[str, list[str]] = {}  # NAME -> the file of each [roll:NAME] line
        self._expansions = {"here": self.options.here, "host_node_name": platform.node()}
        try:
            text = Path(self.path).read_text()
        except (OSError, UnicodeDecodeError) as why:
            raise BadConfiguration(self.path, f"cannot read it: {_why(why)}") from None
        self._take(self.path, text)
        try:
            self._include()
            self._environment()
        except (configparser.Error, ValueError) as why:
            raise BadConfiguration(self.path, one_line(why)) from None

    def _take(self, path: str, text: str) -> None:
        try:
            self.parser.read_string(text, path)
        except configparser.Error as why:
            raise BadConfiguration(path, one_line(why)) from None
        for section in self.parser.sections():
            self.parser.section_to_file.setdefault(section, path)
        real = os.path.realpath(path)
        if real not in self.files:
            self.files[real] = path
            for name in re.findall(r"^\[roll:([^\]]*)\]", text, re.MULTILINE):
                self._written.setdefault(name.strip(), []).append(path)

    def _include(self) -> None:
        """Read the files that ``[include]`` names, as ``ServerOptions.read_config`` does."""
        if not self.parser.has_section("include"):
            return
        self.parser.expand_here(self.options.here)
        patterns = expand(
            self.parser.get("include", "files"),
            {**self._expansions, **self.parser.expansions},
            "include.files",
        )
        self.patterns = tuple(
            os.path.join(self.options.here, pattern)  # noqa: PTH118
            for pattern in patterns.split()
        )
        for path in included(self.patterns):
            try:
                text = Path(path).read_text()
            except (PermissionError, UnicodeDecodeError) as why:
                # supervisord may be another user and have read it: its sections must not
                # be taken for absent.
                raise BadConfiguration(path, f"cannot read it: {_why(why)}") from None
            except OSError:
                continue  # a folder, a dangling link: supervisord passes over it too
            self._take(path, text)
            self.parser.expand_here(os.path.abspath(os.path.dirname(path)))  # noqa: PTH100, PTH120

    def _environment(self) -> None:
        """Let ``%(ENV_X)s`` know what ``[supervisord] environment`` sets."""
        text = self.parser.getdefault("environment", "", expansions={"here": self.options.here})
        # supervisor expands this one twice.
        text = expand(text, {**self._expansions, **self.parser.expansions}, "environment")
        for key, value in dict_of_key_value_pairs(text).items():
            self.parser.expansions[f"ENV_{key}"] = value

    def programs(self) -> Mapping[str, str]:
        """Return the NAME of each process's section, by its namespec. Raises BadConfiguration."""
        try:
            self.options.process_groups_from_parser(_Naming(self.parser))
        except ValueError as why:
            raise BadConfiguration(self.path, one_line(why)) from None
        return self.options.programs

    def users(self) -> frozenset[int]:
        """Return the ids of the users that supervisord and its programs are to run as.

        One that cannot be made out, or is unknown, is supervisord's to complain about.
        """
        found = set()
        for section in self.parser.sections():
            if section != "supervisord" and not section.startswith(("program:", "fcgi-program:")):
                continue
            try:
                user = self.parser.saneget(section, "user", None, expansions=self._expansions)
                if user is not None:
                    found.add(int(name_to_uid(user)))
            except (ValueError, KeyError, TypeError):
                continue
        return frozenset(found)

    def settings(self, section: str, name: str) -> Settings:
        """Return the settings in ``section``, which is ``[roll:name]``. Raises BadSetting.

        The processes must have been named before (``programs``).
        """
        groups = self.options.groups.get(name)
        if not groups:
            raise BadSetting(
                "section",
                section,
                f"no [program:{name}] or [fcgi-program:{name}] is configured; "
                f"known are {', '.join(sorted(self.options.groups)) or 'none'}",
            )
        written = self._written.get(name, [])
        if len(written) > 1:
            raise BadSetting(
                "section", section, f"must be written once; it is in {' and in '.join(written)}"
            )
        values = self._values(section)
        expansions = {**self.parser.expansions, **self._expansions, "program_name": name}
        if len(groups) == 1:
            expansions["group_name"] = groups[0]
        expanded = {key: _expanded(key, value, expansions) for key, value in values.items()}
        try:
            return Settings.parsed(expanded)
        except BadSetting as why:
            # As it is written, so that no secret of the environment gets into a message.
            written_so = values.get(why.key)
            if written_so is None or written_so == expanded[why.key]:
                raise
            raise BadSetting(why.key, written_so, why.rule) from None

    def parallel(self) -> int:
        """Return what ``[roll]`` says of how many programs are rolled at once. Raises BadSetting.

        It may be written several times: supervisor merges them.
        """
        values = self._values("roll")
        for key, value in values.items():
            if key != "parallel":
                raise BadSetting(key, value, "unknown key; known is parallel")
        return parsed_parallel(values.get("parallel", "1"))

    def _values(self, section: str) -> dict[str, str]:
        defaults = self.parser.defaults()
        values = {key: self.parser.get(section, key) for key in self.parser.options(section)}
        return {key: value for key, value in values.items() if defaults.get(key) != value}

    def login(self, url: str) -> tuple[str | None, str | None]:
        """Return the user name and password for ``url``, or of the only HTTP server of its kind.

        Where a socket's path is relative to the folder that supervisord started in, it is not
        known.
        """
        try:
            servers = self.options.server_configs_from_parser(self.parser)
        except ValueError as why:
            raise BadConfiguration(self.path, one_line(why)) from None
        alike = [one for one in servers if ("file" in one) == url.startswith("unix:")]
        found = [one for one in alike if _url(one) == url] or alike
        if len(found) != 1:
            return None, None
        return found[0]["username"], found[0]["password"]


def _url(server: Mapping[str, Any]) -> str:
    """As supervisord gives it to its children."""
    if "file" in server:
        return f"unix://{server['file']}"
    return f"http://{server['host'] or 'localhost'}:{server['port']}"


def _expanded(key: str, value: str, expansions: Mapping[str, Any]) -> str:
    text = re.sub(r"%%|%(?!\()", "%%", value)
    try:
        return str(expand(text, expansions, key))
    except ValueError:
        named = re.findall(r"%\(([^)]*)\)", text.replace("%%", ""))
    unknown = [f"%({name})s" for name in named if name not in expansions]
    if not unknown:
        raise BadSetting(key, value, "must have its expansions in the form %(here)s")
    known = ", ".join(sorted(name for name in expansions if not name.startswith("ENV_")))
    rule = f"cannot expand {', '.join(unknown)}; known are {known} and ENV_X for a variable X"
    if "%(group_name)s" in unknown:
        rule += "; the program is in several groups"
    raise BadSetting(key, value, rule)


def one_line(why: Exception) -> str:
    # supervisor lists every variable of the environment: too long for a report.
    return " ".join(str(why).partition(" Available names:")[0].split())


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
