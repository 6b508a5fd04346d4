"""A pretended Gunicorn: it does with signals what a real one with our hooks does, and its workers
say what real ones say. See pretend_site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supervisor_roll.listener.supervisord import ProcessInfo
from supervisor_roll.wire.datagram import BOOTING, COUNTED, LOADED, READY, Message

if TYPE_CHECKING:
    from pretend_site import Site

BOOT = (BOOTING, LOADED, READY)
# No process of this machine can have these (a pid is at most 2**22), so that whoever looks
# one up in /proc finds nothing.
PIDS = 5_000_000
SUPERVISORD_PID = PIDS + 1


@dataclass
class Worker:
    pid: int
    age: int
    surplus: bool
    ready: bool = False
    draining: bool = False


class Program:
    """One Gunicorn under supervisord. ``boots`` says what a worker of an age says at its start;
    one that says None exits instead."""

    def __init__(self, site: Site, namespec: str, pid: int, facts: Mapping[str, str]) -> None:
        self._site, self.namespec = site, namespec
        self.id = site.fork(pid, SUPERVISORD_PID, f"gunicorn: master [{namespec}]")
        self.facts = {"GUNICORN": "27.0.1", "TIMEOUT": "30", "PRELOAD": "0", "REUSE_PORT": "0",
                      "MISSING": "", **facts}
        self.boots: Callable[[int], Iterable[str | None]] = lambda age: BOOT
        self.workers: dict[int, Worker] = {}
        self.num_workers = self.changes = self.ages = 0

    def want(self, count: int) -> None:
        self.num_workers = count
        self.changes += 1
        self.say(self.id.pid, COUNTED)

    def say(self, pid: int, kind: str, **fields: str) -> None:
        """Put a message of the arbiter or a worker into the inbox."""
        worker = self.workers.get(pid)
        about = {} if worker is None else {
            **self.facts, "AGE": str(worker.age), "SURPLUS": str(int(worker.surplus))}
        about |= {"BOOT_SECS": "1.5"} if kind == READY else {}
        message = Message(kind, {**about, "CHANGES": str(self.changes),
                                 "WORKERS": str(self.num_workers), **fields})
        self._site.say(pid, message, answered=worker is not None and kind != BOOTING)

    def fork(self, surplus: bool = False) -> Worker:
        self.ages += 1
        worker = Worker(self.id.pid + self.ages, self.ages, surplus)
        self._site.fork(worker.pid, self.id.pid, "gunicorn: worker")
        self.workers[worker.pid] = worker
        for kind in self.boots(worker.age):
            if kind is None:
                self._site.inbox.append(lambda: self.exit(worker.pid))
            else:
                self.say(worker.pid, kind)
        return worker

    def signal(self, name: str) -> None:
        """What the hooks and Gunicorn make of a signal to the arbiter."""
        if name == "TTIN":
            self.want(self.num_workers + 1)
            self.fork(surplus=True)
        elif name == "TTOU" and self.num_workers > 1:
            surplus = [one for one in self.workers.values() if one.surplus]
            if surplus:
                min(surplus, key=lambda one: (not one.ready, one.age)).surplus = False
            self.want(self.num_workers - 1)
            for worker in sorted(self.workers.values(), key=lambda one: one.age)[
                    :len(self.workers) - self.num_workers]:
                self.drain(worker)

    def drain(self, worker: Worker) -> None:
        if not worker.draining:
            worker.draining = True
            self._site.inbox.append(lambda: self.exit(worker.pid))

    def exit(self, pid: int) -> None:
        """The worker is gone, is reaped, and is replaced if the arbiter wants it so."""
        worker = self.workers.pop(pid, None)
        if worker is None:
            return
        if worker.surplus and self.num_workers > 1:
            self.want(self.num_workers - 1)
        self._site.die(pid)
        while len(self.workers) < self.num_workers:
            self.fork()

    def halt(self) -> None:
        """The arbiter exits with all its workers, and supervisord says so."""
        for pid in [self.id.pid, *self.workers]:
            self._site.die(pid)
        self._site.supervisord.infos = [
            ProcessInfo(one.namespec, 0, "EXITED") if one.namespec == self.namespec else one
            for one in self._site.supervisord.infos]
        self._site.coordinator.rung(processes_changed=True)

    @property
    def serving(self) -> list[int]:
        """The ages of the workers that are ready and stay."""
        return sorted(one.age for one in self.workers.values() if one.ready and not one.draining)
