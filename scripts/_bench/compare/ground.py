"""Where a peer serves one scenario: a folder with releases, and marks of what booted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from compare.scenarios import HOLD_SECS, WORKERS, Scenario
from tests.harness import Sample, free_port
from tests.harness.folders import new_folder
from tests.harness.processes import STAMP, die_with_parent, is_gone, kill, stamped

_SHOP = Path(__file__).with_name("shop.py")


class Ground:
    """A folder with the symlink ``current`` to the release that is deployed, at first a good "v1",
    and a free port. As a context manager it ends all that it has spawned, and is removed."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.port = free_port()
        self.folder = new_folder("bench.")
        self.current = self.folder / "current"
        self._marks = self.folder / "marks"
        self._marks.mkdir()
        self._deploy("v1", boot_secs=0.1)

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *_: object) -> None:
        while left := stamped(str(self.folder)):  # one that ends may just have forked
            kill(left)
        shutil.rmtree(self.folder)

    def deploy(self) -> None:
        """Point ``current`` to the scenario's release; no process is told."""
        one = self.scenario
        self._deploy("v2", boot=one.boot, boot_secs=one.boot_secs, status=one.status)

    def _deploy(
        self, name: str, *, boot_secs: float, boot: str = "sleep", status: int = 200
    ) -> None:
        release = self.folder / name
        release.mkdir()
        shutil.copy(_SHOP, release)
        written = {
            "release": name,
            "boot": boot,
            "boot_secs": boot_secs,
            "status": status,
            "hold_secs": HOLD_SECS,
            "marks": str(self._marks),
        }
        (release / "release.json").write_text(json.dumps(written))
        link = self.folder / "link"
        link.symlink_to(release)
        link.replace(self.current)

    # ---- a peer's processes ----

    def spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a process, which is ended with the ground."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), STAMP: str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def sample(self) -> Sample:
        """The workers that have booted and are there, and those of them whose answers are good."""
        at = time.monotonic()
        there = {
            int(mark.name): mark.read_text()
            for mark in self._marks.iterdir()
            if mark.name.isdigit() and not is_gone(int(mark.name))
        }
        good = frozenset(pid for pid, status in there.items() if status == "200")
        return Sample(at, frozenset(there), good)

    def wait(self, condition: Callable[[Sample], object]) -> bool:
        """Wait until the workers are so, or the scenario's time is up; whether they are."""
        deadline = time.monotonic() + self.scenario.limit_secs
        while not condition(self.sample()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def wait_fresh(self, old: frozenset[int], fresh: int) -> bool:
        """Wait until so many workers that are not ``old`` have booted."""
        return self.wait(lambda now: len(now.children - old) >= fresh)

    def replaced(self, old: frozenset[int], now: Sample) -> bool:
        """Whether all workers are there, and none of the old ones."""
        return not now.children & old and len(now.children) == WORKERS

    @staticmethod
    def signal(pid: int, number: signal.Signals) -> None:
        """Send a signal to a process that may have gone."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def log_tail(self) -> str:
        """The end of what the peer said."""
        log = self.folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""
