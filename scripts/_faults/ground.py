"""The ground that a fault is tried on: a site under load, and what is judged of it at the end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import Program, Sample, Site, wait_until
from tests.harness.command import Command

STRATEGIES = ("workers", "arbiter")
WORKERS = 3
READY_TIMEOUT_SECS = 8.0
SETTLE_SECS = 40.0


class NotHere(Exception):
    """The fault cannot be made on this machine; the text says why."""


@dataclass(frozen=True)
class Fault:
    """One thing that ``make`` makes go wrong, before a rollout or in the middle of one."""

    name: str
    strategy: str
    make: Callable[[Ground], None]


FAULTS: list[Fault] = []


def fault(
    name: str, *strategies: str
) -> Callable[[Callable[[Ground], None]], Callable[[Ground], None]]:
    """Enter a function into the table, once for each strategy (both by default)."""

    def entered(make: Callable[[Ground], None]) -> Callable[[Ground], None]:
        FAULTS.extend(Fault(name, one, make) for one in strategies or STRATEGIES)
        return make

    return entered


@dataclass
class Outcome:
    """What the clients and the kernel saw."""

    failed: int
    requests: int
    least_ready: int
    before: int
    after: int
    broken: list[str] = field(default_factory=list)


class Ground:
    """A site with one program, ``web``.

    What a fault is allowed to cost it says itself: ``may_fail`` requests (None: any number),
    ``floor`` ready workers, and ``count`` workers at the end.
    """

    def __init__(self, strategy: str, seed: int) -> None:
        self.strategy, self.random = strategy, random.Random(seed)
        self.may_fail: int | None = 0
        self.floor = self.count = WORKERS
        self.complaints: list[str] = []
        self.releases = 1
        self.program = Program(
            workers=WORKERS,
            boot_secs=0.1,
            roll={
                "strategy": strategy,
                "ready_timeout_secs": f"{READY_TIMEOUT_SECS:g}",
                "drain_timeout_secs": "3",
            },
            section={"stopwaitsecs": "10"},
            conf="graceful_timeout = 8",
        )
        self.site = Site(self.program)
        self._undo: list[Callable[[], None]] = []
        self._closing = threading.Lock()

    # ---- what a fault does with it ----

    def release(self, boot: str = "ok") -> str:
        """Deploy a new release that boots so."""
        self.releases += 1
        name = f"v{self.releases}"
        self.site.add_release(name, boot=boot)
        self.site.deploy(name)
        return name

    def roll(self, good: bool | None = None, deadline_secs: float = 60.0) -> str:
        """A whole rollout; ``good`` says how it must end, if that is sure."""
        return self.ended(self.site.ctl_start("rollrestart", "web"), good, deadline_secs)

    def ended(self, command: Command, good: bool | None = None, deadline_secs: float = 60.0) -> str:
        ran = command.wait(deadline_secs)
        self.expect(
            good is None or (ran.status == 0) == good, f"rollrestart exited {ran.status}: {ran}"
        )
        return ran.output

    @contextmanager
    def rolling(self, good: bool | None = None, boot: str = "gate") -> Iterator[Sample]:
        """The middle of a rollout: a fresh worker boots, and goes on when the body is done."""
        name = self.release(boot)
        old = self.site.all_workers("web").children
        command = self.site.ctl_start("rollrestart", "web")

        def fresh() -> Sample | None:
            sample = self.site.all_workers("web")
            return sample if sample.children - old else None

        sample = wait_until(fresh, 30, "a fresh worker boots")
        self.fresh = self.random.choice(sorted(sample.children - old))
        self.outdated = self.random.choice(sorted(old))
        yield sample
        self.site.open_gate(name)
        self.ended(command, good)

    @property
    def listener(self) -> int:
        return self.site.listener_pid

    @property
    def arbiter(self) -> int:
        return self.site.pid("web")

    def successor(self) -> int:
        """The arbiter beside the one with the program's name."""
        return next(pid for pid in self.site.arbiters("web") if pid != self.arbiter)

    def stopped(self, pids: list[int], secs: float) -> None:
        """Have processes stand still for a time."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(secs)
        finally:
            for pid in pids:
                kill(pid, signal.SIGCONT)

    def socket(self) -> Path:
        """The readiness socket of the program's user."""
        environ = Path(f"/proc/{self.arbiter}/environ").read_bytes().split(b"\0")
        key = b"SUPERVISOR_ROLL_SOCKET="
        directory = next(os.fsdecode(one[len(key) :]) for one in environ if one.startswith(key))
        return Path(directory) / str(os.getuid())

    def attack(self, script: str, secs: float, user: int) -> subprocess.Popen[bytes]:
        """Run a Python script, with the readiness socket's path as its argument, as a user."""
        path, python = self.socket(), sys.executable
        if user:
            if os.getuid() != 0:
                raise NotHere("only root can become another user")
            python = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin")
            if python is None:
                raise NotHere("there is no Python that another user can run")
            for folder in path.parents:
                if folder.is_relative_to(self.site.folder):
                    folder.chmod(folder.stat().st_mode | 0o011)
            # Its own folder for temporary files is closed to others.
            for folder in self.site.folder.parents:
                if not folder.stat().st_mode & 0o001:
                    mode = folder.stat().st_mode
                    folder.chmod(mode | 0o001)
                    self.undo(lambda folder=folder, mode=mode: folder.chmod(mode & 0o7777))
        process = subprocess.Popen(
            [python, "-c", script, path, str(secs)],
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.undo(lambda: (process.kill(), process.wait()))
        return process

    def expect(self, true: bool, otherwise: str) -> None:
        if not true:
            self.complaints.append(" ".join(otherwise.split()))

    def undo(self, undo: Callable[[], object]) -> None:
        """What is to be done at the end, whatever happens."""
        self._undo.append(undo)

    # ---- its trial ----

    def tried(self, make: Callable[[Ground], None]) -> Outcome:
        """Try a fault. Raises NotHere."""
        try:
            self.site.start(60)
            with (
                self.site.load("web", rate=25, max_secs=110) as load,
                self.site.observe_all("web") as seen,
            ):
                wait_until(lambda: load.answered_by("v1") > 10, 30, "requests are answered")
                try:
                    make(self)
                    self._settle()
                    # Whatever has happened is over: a good release is rolled out.
                    self.release()
                    self.roll(good=True)
                    self._settle()
                except AssertionError as error:
                    self.expect(False, str(error))
                summary = load.stop()
            failed = len(summary.failed)
            self.expect(self.may_fail is None or failed <= self.may_fail, f"{summary.errors}")
            self.expect(seen.min_ready >= self.floor, f"{seen.min_ready} were ready")
            after = len(self.site.all_workers("web").ready)
            self.expect(after == self.count, f"{after} workers at the end")
            return Outcome(
                failed, len(summary.requests), seen.min_ready, WORKERS, after, self.complaints
            )
        finally:
            self.close()

    def close(self) -> None:
        """Stop and undo everything. Called a second time, from another thread, it waits."""
        with self._closing:
            while self._undo:
                self._undo.pop()()
            if self.site.folder.exists():
                self.site.stop()
                shutil.rmtree(self.site.folder, ignore_errors=True)

    def _settle(self) -> None:
        def settled() -> bool:
            sample = self.site.all_workers("web")
            alone = self.site.arbiters("web") == [self.arbiter]
            return alone and len(sample.children) == len(sample.ready) == self.count

        wait_until(settled, SETTLE_SECS, f"{self.count} ready workers, and no others", 0.1)


def kill(pid: int, signum: int = signal.SIGKILL) -> None:
    """Signal a process of the site's. One that has gone is no error."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass
