"""A real supervisord with Gunicorn programs, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.harness import processes
from tests.harness.configuration import Inet, Program
from tests.harness.load import Load, steady
from tests.harness.observe import ArbitersTable, Observer, Sample, WorkerTable, children
from tests.harness.site_folder import SiteFolder
from tests.harness.supervisord import Supervisord
from tests.harness.venvs import supervisor_venv
from tests.harness.waiting import wait_until

#: Of our environment. With the last one set low, every test has a listener that changes to and fro.
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "SUPERVISOR_ROLL_IDLE_SECS")


class Meanwhile(NamedTuple):
    """What looks on: the load, who counts the workers, and the workers that there were before."""

    load: Load
    seen: Observer
    before: Sample


class Site(SiteFolder, Supervisord):
    """``programs`` under a supervisord of their own, with our parts in it unless ``roll`` is False.

    supervisord listens on a Unix socket, or instead of it where ``inet`` says. It is that of
    version ``supervisor``, or the one that the tests run with.
    As a context manager it starts, stops, and removes its folder.
    """

    def __init__(
        self,
        *programs: Program,
        roll: bool = True,
        inet: Inet | None = None,
        supervisor: str | None = None,
    ) -> None:
        SiteFolder.__init__(self, programs, roll, inet)
        python = str(supervisor_venv(supervisor) / "python") if supervisor else sys.executable
        Supervisord.__init__(self, python, self.config)
        self._roll = roll
        self._inet = inet

    # ---- supervisord ----

    def start(self, deadline_secs: float = 30.0) -> Site:
        """Start supervisord, and wait until all is well: our listener is known to it, every
        process is RUNNING, and all workers are ready."""
        self.start_supervisord()
        if self._roll:
            wait_until(lambda: self.listener_pid, deadline_secs, "our listener hears")
        self.start_programs()
        for program in self.programs.values():
            for namespec in program.processes:
                self.wait_ready(namespec, program.workers, deadline_secs)
                self.wait_state(namespec, "RUNNING", deadline_secs)
        if self._roll:
            self.wait_listener(deadline_secs=deadline_secs)
        return self

    def start_programs(self) -> None:
        """Have supervisord start every program that does not run, and return at once.

        Where the listener is not there yet to hear what a worker says, an idle worker says it
        again at its next heartbeat: half its timeout later, 15 s by default. No test wants to
        wait for that unless it is about that.
        """
        self.rpc.supervisor.startAllProcesses(False)

    def start_supervisord(self, deadline_secs: float = 15.0) -> None:
        """Start supervisord, and wait until it answers; it starts no program of ours."""
        environment = {
            **{k: v for k, v in os.environ.items() if k in _PASSED},
            # Gunicorn's control socket goes into the home of its user.
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            processes.STAMP: str(self.folder),
        }
        # A Ctrl-C at the terminal is for us alone.
        out = self.folder / "logs" / "supervisord.out"
        self.launch_supervisord(out, env=environment, start_new_session=True)
        wait_until(self._answers, deadline_secs, "supervisord answers")

    def stop(self) -> None:
        """KILL all of the site: an operator's stop would take its time, and prove nothing."""
        for command in self.commands:
            command.kill()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        while left := processes.stamped(str(self.folder)):  # one that ends may just have forked
            processes.kill(left)

    def __enter__(self) -> Site:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.remove()

    @property
    def supervisord_pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def rpc(self) -> Any:
        """A proxy of supervisord's XML-RPC: ``site.rpc.supervisor.getState()``."""
        if self._inet is None:
            return self.proxy(f"unix://{self.folder}/run/supervisor.sock")
        return self.proxy(self._inet.url, self._inet.username, self._inet.password)

    def roll(self, name: str, *options: str, status: int = 0) -> str:
        """Run ``supervisorctl rollrestart`` to its end, which must have that status; its output."""
        return self.ctl_start("rollrestart", *options, name).ends(status)

    def pid(self, namespec: str) -> int:
        """The pid that supervisord has for a process: a program's arbiter. 0 if it has none."""
        return self.rpc.supervisor.getProcessInfo(namespec)["pid"]

    def state(self, namespec: str) -> str:
        """The state that supervisord has for a process, such as RUNNING."""
        return self.rpc.supervisor.getProcessInfo(namespec)["statename"]

    @property
    def listener_pid(self) -> int:
        """The pid of our listener that supervisord heard last. 0 if there is none now."""
        listener = json.loads(self.rpc.roll.status())["listener"]
        return listener["pid"] if listener else 0

    def rollout(self, namespec: str) -> dict[str, Any]:
        """What `rollstatus` knows of the process's last rollout; empty if there was none."""
        return json.loads(self.rpc.roll.status())["programs"].get(namespec, {})

    def wait_listener(self, other_than: int = 0, deadline_secs: float = 30.0) -> int:
        """Wait until our listener runs and is known, if need be one with another pid; its pid."""
        wait_until(
            lambda: self._has_listener() and self.listener_pid not in (0, other_than),
            deadline_secs,
            "our listener is known to supervisord",
        )
        return self.listener_pid

    def kill_listener(self) -> int:
        """KILL our listener; its pid."""
        listener = self.listener_pid
        os.kill(listener, signal.SIGKILL)
        return listener

    def restart_listener(self) -> int:
        """KILL our listener, and wait for the next one; its pid."""
        return self.wait_listener(other_than=self.kill_listener())

    def reread(self) -> list[list[str]]:
        """The groups that supervisord finds added, changed and removed in its configuration."""
        return self.rpc.supervisor.reloadConfig()[0]

    def names(self, group: str) -> list[str]:
        """The processes that supervisord has in a group."""
        infos = self.rpc.supervisor.getAllProcessInfo()
        return [one["name"] for one in infos if one["group"] == group]

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"supervisord left:\n{self.log_tails()}")
        try:
            return self.rpc.supervisor.getState()["statename"] == "RUNNING"
        except (OSError, xmlrpc.client.Error):
            return False

    def _has_listener(self) -> bool:
        listener = json.loads(self.rpc.roll.status())["listener"]
        return listener is not None and listener["state"] == "RUNNING"

    # ---- its workers and its load ----

    def workers(self, namespec: str) -> Sample:
        """The workers of a process as the kernel shows them right now."""
        return WorkerTable(self.pid(namespec)).sample()

    def wait_state(self, namespec: str, state: str, deadline_secs: float = 30.0) -> None:
        """Wait until supervisord has a process in ``state``."""
        wait_until(lambda: self.state(namespec) == state, deadline_secs, f"{namespec} is {state}")

    def wait_ready(self, namespec: str, workers: int, deadline_secs: float = 30.0) -> Sample:
        """Wait until a process has exactly ``workers`` children and all are ready."""

        def settled() -> Sample | None:
            pid = self.pid(namespec)
            sample = WorkerTable(pid).sample() if pid else None
            if sample and len(sample.children) == len(sample.ready) == workers:
                return sample
            return None

        return wait_until(settled, deadline_secs, f"{namespec} has {workers} ready workers", 0.05)

    def wait_booting(self, namespec: str, workers: int, deadline_secs: float = 30.0) -> Sample:
        """Wait until exactly ``workers`` children of a process are not ready yet."""

        def booting() -> Sample | None:
            sample = self.workers(namespec)
            return sample if len(sample.booting) == workers else None

        return wait_until(booting, deadline_secs, f"{workers} of {namespec}'s workers boot")

    def wait_replaced(self, namespec: str, old: Sample, deadline_secs: float = 30.0) -> Sample:
        """Wait until as many ready workers as ``old`` had run, and none of the old ones."""

        def replaced() -> Sample | None:
            sample = self.workers(namespec)
            gone = not sample.children & old.children
            settled = len(sample.children) == len(sample.ready) == len(old.children)
            return sample if gone and settled else None

        return wait_until(replaced, deadline_secs, f"{namespec}'s workers are replaced", 0.05)

    def observe(self, namespec: str, every_secs: float = 0.05) -> Observer:
        """An observer of the process's present arbiter, to be used as a context manager."""
        return Observer(WorkerTable(self.pid(namespec)), every_secs)

    def arbiters(self, name: str) -> list[int]:
        """The arbiters of a program, by what supervisord's children are: the successor, too."""
        conf = f"{self.folder}/{name}.conf.py".encode()
        return [
            pid
            for pid in sorted(children(self.supervisord_pid))
            if conf in processes.command_line(pid)
        ]

    def all_workers(self, name: str) -> Sample:
        """The workers of all the arbiters of a program, right now."""
        return ArbitersTable(lambda: self.arbiters(name)).sample()

    def assert_alone(self, name: str) -> None:
        """A program's group has one process, and supervisord no child of it but that."""
        self.wait_state(name, "RUNNING")  # a promoted one may be STARTING for less than startsecs
        assert (self.names(name), self.arbiters(name)) == ([name], [self.pid(name)])

    def assert_applied(self, name: str) -> None:
        """supervisord has what it would have after a restart, and no more."""
        self.assert_alone(name)
        assert self.reread() == [[], [], []]

    def observe_all(self, name: str, every_secs: float = 0.05) -> Observer:
        """An observer of all the arbiters that a program ever has, as a context manager."""
        return Observer(ArbitersTable(lambda: self.arbiters(name)), every_secs)

    def load(self, namespec: str, **options: Any) -> Load:
        """Load on a process, not started yet; ``options`` are those of ``Load``."""
        return Load(self.address(namespec), **options)

    @contextmanager
    def unharmed(
        self,
        namespec: str = "web",
        *,
        least_ready: int | None = None,
        replaced: int | None = None,
        same_arbiter: bool = True,
        **load: Any,
    ) -> Iterator[Meanwhile]:
        """Load on a process before, while and after the body runs, and in the end the promise: no
        request has failed, never fewer than ``least_ready`` workers were ready (by default as
        many as there were), and as many are there as before, ``replaced`` of them fresh (None:
        whatever number), of the same arbiter, or else of another."""
        arbiter, before = self.pid(namespec), self.workers(namespec)
        observe = self.observe if same_arbiter else self.observe_all
        with observe(namespec) as seen, steady(going := self.load(namespec, **load)):
            yield Meanwhile(going, seen, before)
        summary = going.so_far()
        assert not summary.failed, summary
        assert seen.min_ready >= (len(before.ready) if least_ready is None else least_ready)
        after = self.wait_ready(namespec, len(before.children))
        if replaced is not None:
            assert len(after.children - before.children) == replaced
        assert (self.pid(namespec) == arbiter) is same_arbiter

    @contextmanager
    def untouched(self, name: str = "web") -> Iterator[Meanwhile]:
        """All the while and in the end what serves is what was there, and no request fails."""
        with self.unharmed(name, replaced=0) as meanwhile:
            yield meanwhile
        workers = meanwhile.before.children
        assert {one.children for one in meanwhile.seen.samples} == {workers}
        assert {one.ready for one in meanwhile.seen.samples} == {workers}
        self.assert_alone(name)


#: What the fixture ``make_site`` is.
MakeSite = Callable[..., Site]
