"""supervisord.conf and what it includes, as supervisord and as supervisorctl read them.

supervisor's own code resolves all of it. Only that what it names is not imported: it may be
another user's.
"""

from __future__ import annotations

import configparser
import glob
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.datatypes import process_or_group_name
from supervisor.options import (
    ClientOptions,
    EventListenerConfig,
    Options,
    ServerOptions,
    UnhosedConfigParser,
    expand,
    make_namespec,
    normalize_path,
)

from supervisor_roll.installation.files import Unreadable, read_text

MAX_FILES = 1000


def found() -> list[str]:
    """Return the files that exist where supervisorctl looks without ``-c``; it takes the first."""
    paths = Options(require_configfile=False).searchpaths
    return list(dict.fromkeys(normalize_path(one) for one in paths if Path(one).exists()))


@dataclass(frozen=True)
class Section:
    """A [program:NAME] or the like: its first process, as supervisor resolves it."""

    section: str
    namespec: str
    process: Any  # supervisor's ProcessConfig

    @property
    def name(self) -> str:
        return self.section.partition(":")[2].strip()


@dataclass(frozen=True)
class Client:
    """How supervisorctl reaches supervisord."""

    url: str
    username: str | None = None
    password: str | None = None


class _ServerOptions(ServerOptions):
    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.environ_expansions = {f"ENV_{key}": value for key, value in environment.items()}
        self.found: dict[str, Section] = {}

    def import_spec(self, spec: str) -> None:
        """Leave alone what the file names."""

    def processes_from_section(
        self, parser: Any, section: str, group_name: str, klass: Any = None
    ) -> list[Any]:
        processes: list[Any] = super().processes_from_section(parser, section, group_name, klass)
        if processes:
            first = Section(section, make_namespec(group_name, processes[0].name), processes[0])
            self.found.setdefault(section, first)
        return processes


class _ClientOptions(ClientOptions):
    def import_spec(self, spec: str) -> None:
        """Leave alone what the file names."""


@dataclass
class SupervisorConf:
    """What the files say. Raises Unreadable where the main file cannot be read at all.

    ``environment`` is supervisord's, of which ``%(ENV_X)s`` are.
    """

    path: str
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    files: dict[str, list[str]] = field(default_factory=dict)  # section -> where it is written
    refused: str = ""  # why supervisord would not start with it
    sections: list[Section] = field(default_factory=list)
    servers: list[Mapping[str, Any]] = field(default_factory=list)
    pidfile: str = "supervisord.pid"

    def __post_init__(self) -> None:
        self.path = normalize_path(self.path)
        self.here = os.path.dirname(self.path)  # noqa: PTH120
        self.main, self.whole = UnhosedConfigParser(), UnhosedConfigParser()
        self._take(self.path, self.main)
        self._take(self.path, self.whole)
        try:
            for path in self._included():
                self._take(path, self.whole)
            self._resolve()
        except Unreadable as why:
            self.refused = str(why)
        except (ValueError, LookupError, OSError, configparser.Error) as why:
            # supervisor lists every variable of the environment.
            self.refused = " ".join(str(why).partition(" Available names:")[0].split())

    def where(self, section: str) -> str:
        """Return a section and its file, as it is to be named."""
        files = self.files.get(section)
        return f"[{section}] in {' and '.join(files)}" if files else f"[{section}]"

    def get(self, section: str, key: str, default: str = "") -> str:
        """Return a value, expanded where that is possible."""
        if not self.whole.has_option(section, key):
            return default
        try:
            return str(self.whole.saneget(section, key, expansions=self._expansions))
        except ValueError:
            return str(self.whole.get(section, key))

    def client(self) -> Client:
        """Return how supervisorctl reaches supervisord. Raises ValueError."""
        options = _ClientOptions()
        options.here = self.here
        section = options.read_config(self.path)
        return Client(section.serverurl, section.username, section.password)

    @property
    def _expansions(self) -> dict[str, str]:
        names = {f"ENV_{key}": value for key, value in self.environment.items()}
        return {**names, "here": self.here, "host_node_name": platform.node()}

    def _take(self, path: str, parser: UnhosedConfigParser) -> None:
        own = UnhosedConfigParser()
        text = read_text(path)
        try:
            own.read_string(text, path)
            parser.read_string(text, path)
        except configparser.Error as why:
            raise Unreadable(path, " ".join(str(why).split())) from None
        for section in own.sections():
            files = self.files.setdefault(section, [])
            if path not in files:
                files.append(path)

    def _included(self) -> list[str]:
        if not self.main.has_option("include", "files"):
            return []
        text = self.main.get("include", "files").replace("%(here)s", self.here)
        patterns = expand(text, self._expansions, "include.files").split()
        paths = [
            path
            for pattern in patterns
            for path in sorted(glob.glob(os.path.join(self.here, pattern)))  # noqa: PTH118, PTH207
            if Path(path).is_file()
        ]
        if len(paths) > MAX_FILES:
            raise Unreadable(self.path, f"[include] names more than {MAX_FILES} files")
        return paths

    def _resolve(self) -> None:
        options = _ServerOptions(self.environment)
        options.configfile, options.here = self.path, self.here
        read = options.read_config(self.path)
        self.servers, self.pidfile = read.server_configs, normalize_path(read.pidfile)
        self.sections = [
            one
            for one in options.found.values()
            if not isinstance(one.process, EventListenerConfig)
        ]

    def names(self) -> set[str]:
        """Return the NAME of each [program:NAME] and [fcgi-program:NAME]."""
        return {
            process_or_group_name(one.partition(":")[2])
            for one in self.files
            if one.startswith(("program:", "fcgi-program:"))
        }
