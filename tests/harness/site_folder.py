"""What a site has on the disk: configuration, releases, logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from tests.harness.configuration import Inet, Program, main_conf
from tests.harness.connections import Address
from tests.harness.folders import new_folder
from tests.harness.venvs import CHECKOUT

_Site = TypeVar("_Site", bound="SiteFolder")
APPS = Path(__file__).resolve().parents[1] / "e2e" / "apps"


class SiteFolder:
    """A folder with ``logs``, ``run`` (sockets), ``conf.d``, ``releases`` and the symlink
    ``current`` to the release that is deployed, at first "v1"."""

    def __init__(self, programs: Iterable[Program], roll: bool, inet: Inet | None) -> None:
        self.folder = new_folder("site.")
        self.current = self.folder / "current"
        self.programs: dict[str, Program] = {}
        self._tickets = 0
        for name in ("logs", "run", "conf.d", "releases", "tmp"):
            (self.folder / name).mkdir()
        self.config = self.folder / "supervisord.conf"
        self.config.write_text(main_conf(self.folder, roll, inet))
        if roll:
            shutil.copy(CHECKOUT / "conf.d" / "roll.conf", self.folder / "conf.d")
        for program in programs:
            self.write(program)
        self.deploy("v1")

    def write(self, program: Program) -> None:
        """Write the configuration of ``program``, anew if it is there; supervisord is not told."""
        self.programs[program.name] = program
        (self.folder / f"{program.name}.conf.py").write_text(program.gunicorn_conf(self.folder))
        conf = self.folder / "conf.d" / f"{program.name}.conf"
        conf.write_text(program.supervisor_conf(self.folder))

    def write_conf(self, name: str, text: str) -> None:
        """Write ``conf.d/NAME.conf``, which supervisord includes; it is not told."""
        (self.folder / "conf.d" / f"{name}.conf").write_text(text)

    def add_release(
        self, name: str, *, boot: str = "ok", boot_secs: float | None = None, status: int = 200
    ) -> Path:
        """Make the release ``name``, which is not deployed yet; its folder.

        ``boot`` is what its import does after its seconds: "ok", "hang" (for ever), "gate" (it
        waits for ``open_gate``), "compute" (for 0.5 s), "once" (it fails from the second time on),
        or one of the ways to fail that apps/release.py knows.
        ``status`` is what its health check answers.
        """
        folder = self.folder / "releases" / name
        shutil.copytree(APPS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "gate").mkdir()
        (folder / "status").write_text(str(status))
        written = {"release": name, "boot": boot, "boot_secs": boot_secs}
        (folder / "release.json").write_text(json.dumps(written))
        return folder

    def open_gate(self, name: str, boots: int | None = None) -> None:
        """Let ``boots`` of the workers that wait at the gate of release ``name``, or are yet to
        come there, go on; all of them if it is None."""
        gate = self.folder / "releases" / name / "gate"
        if boots is None:
            (gate / "open").touch()
            return
        self._tickets += boots
        for number in range(self._tickets - boots, self._tickets):
            (gate / f"ticket-{number}").touch()

    def wake(self, name: str) -> None:
        """Have release ``name`` answer at once all that takes it long, now and later."""
        (self.folder / "releases" / name / "gate" / "wake").touch()

    def set_health(self, name: str, status: int) -> None:
        """From now on the health check of release ``name`` answers with ``status``."""
        written = self.folder / "releases" / name / "status.new"
        written.write_text(str(status))
        written.replace(written.with_suffix(""))

    def deploy(self: _Site, name: str, **release: Any) -> _Site:
        """Point the symlink ``current`` to release ``name``, at one stroke; no process is told.

        It is made first if it is not there; ``release`` are the options of ``add_release``.
        """
        if not (self.folder / "releases" / name).exists():
            self.add_release(name, **release)
        link = self.folder / "current.new"
        link.symlink_to(self.folder / "releases" / name)
        link.replace(self.current)
        return self

    def log(self, name: str) -> str:
        """The text of ``logs/NAME.log``: "supervisord", or a process name."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def boots(self, name: str) -> int:
        """How many workers a process has ever begun to boot, by Gunicorn's own word."""
        return self.log(name).count("Booting worker with pid")

    def log_tails(self, lines: int = 40) -> str:
        """The last lines of every log, for a person who looks for what went wrong."""
        tails = []
        for log in sorted((self.folder / "logs").glob("*.[lo][ou][gt]")):
            text = log.read_text(errors="replace").splitlines()
            if text:
                tails.append("\n".join([f"==> {log.name} <==", *text[-lines:]]))
        return "\n".join(tails)

    def address(self, namespec: str) -> Address:
        """Where a process listens, first of all."""
        return self.addresses(namespec)[0]

    def addresses(self, namespec: str) -> list[Address]:
        """Where a process listens."""
        program = self.programs[namespec.partition(":")[0]]
        return program.addresses(self.folder / "run", namespec)

    def remove(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder)
