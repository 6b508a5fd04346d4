"""What the doctor looks at: the files, a supervisord that runs, and its Gunicorn programs."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from supervisor_roll.installation import gunicorn_conf as gunicorn
from supervisor_roll.installation import running
from supervisor_roll.installation.gunicorn_conf import GunicornConf
from supervisor_roll.installation.running import Running
from supervisor_roll.installation.supervisor_conf import Section, SupervisorConf
from supervisor_roll.rollout.installing import socket_directory
from supervisor_roll.rollout.reports import Facts, Plan
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.gunicorn_facts import GunicornFacts


@dataclass
class Program:
    """A Gunicorn program: its section, what shows of its Gunicorn, and what the listener tells.

    ``told`` is None where it was not asked; ``unheard`` then says why.
    """

    section: Section
    where: str
    conf: GunicornConf
    directory: str
    state: str = ""
    told: Facts | None = None
    unheard: str = ""

    @property
    def plan(self) -> Plan | None:
        """What a rollout would do; None where it is not known, or would be refused."""
        return self.told if isinstance(self.told, Plan) and not self.told.refused else None

    @property
    def executable(self) -> str:
        """The path of its gunicorn, if that shows."""
        path = self.conf.command.gunicorn
        return str(Path(self.directory) / path) if "/" in path else ""

    @cached_property
    def installed(self) -> dict[str, str] | None:
        """What its virtualenv has; None: not known."""
        return gunicorn.versions_beside(self.executable) if self.executable else None

    @property
    def gunicorn_version(self) -> tuple[int, ...]:
        """The version of its Gunicorn as numbers; empty if unknown."""
        text = self.plan.gunicorn if self.plan else (self.installed or {}).get("gunicorn", "")
        return GunicornFacts(text).version


@dataclass
class Site:
    """One installation. ``others`` are configurations that supervisorctl passes over."""

    conf: SupervisorConf
    others: list[str] = field(default_factory=list)
    running: Running | None = None
    unreachable: str = ""
    programs: list[Program] = field(default_factory=list)

    @property
    def socket_directory(self) -> str:
        """The directory of the sockets: as it is given to programs, or else as configured."""
        given = self.running.listener_environment.get(SOCKET_VARIABLE) if self.running else ""
        configured = self.conf.get("rpcinterface:roll", "socket")
        files = [str(one["file"]) for one in self.conf.servers if "file" in one]
        return given or configured or socket_directory(files, self.conf.pidfile)


def looked_at(path: str, others: list[str]) -> Site:
    """Read the files, and see what runs. Raises Unreadable."""
    site = Site(SupervisorConf(path), others)
    url = ""
    try:
        client = site.conf.client()
        url = client.url
        site.running = Running(client)
    except running.Unreachable as why:
        text = str(getattr(why, "strerror", None) or why) or type(why).__name__
        site.unreachable = f"{url}: {text}"
    except (ValueError, LookupError, configparser.Error) as why:
        site.unreachable = " ".join(str(why).split())
    if site.running and site.running.environment:
        # supervisord's own variables may not be ours.
        site.conf = SupervisorConf(path, site.running.environment)
    site.programs = list(_programs(site))
    return site


def _programs(site: Site) -> Iterator[Program]:
    started = running.working_directory(site.running.pid) if site.running else ""
    for section in site.conf.sections:
        process = section.process
        rolled = f"roll:{section.name}" in site.conf.files
        if "gunicorn" not in process.command and not rolled:
            continue
        own = os.path.expanduser(process.directory) if process.directory else ""  # noqa: PTH111
        directory = str(Path(started) / own) if started or own.startswith("/") else ""
        found = gunicorn.gunicorn_conf(process.command, process.environment, directory)
        where = site.conf.where(section.section)
        info = site.running.processes.get(section.namespec) if site.running else None
        state = info["statename"] if info else ""
        yield Program(section, where, found, directory, state)
