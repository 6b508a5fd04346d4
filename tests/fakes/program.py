"""A fake Gunicorn: it does with signals what a real one with our hooks does, and its workers
say what real ones say. See fakes/site.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks.shared_memory import page_of
from supervisor_roll.wire.messages import (
    Ack,
    Booting,
    Counted,
    Due,
    ForkFailed,
    Listening,
    Loaded,
    Message,
    Ready,
    Starting,
    Stopping,
)
from tests.fakes.gunicorn import FakeArbiter, FakeWorker

if TYPE_CHECKING:
    from tests.fakes.site import Site

BOOT = (Booting, Loaded, Ready)
# No process of this machine can have these (a pid is at most 2**22), so that whoever looks
# one up in /proc finds nothing.
PIDS = 5_000_000
SUPERVISORD_PID = PIDS + 1
# How long a successor asks for its sockets, and how often.
ASKS_SECS, ASKS_EVERY_SECS = 15.0, 0.2


class Program(FakeArbiter):
    """One Gunicorn under supervisord. ``boots`` says what a worker of an age says at its start;
    one that says None exits instead.

    One with ``binds`` has the hooks that ask for kept sockets and hand them in. Its listening
    sockets are real ones, by their addresses, but no address is what it says. ``output`` is
    what it has written; one that ``is_broken`` ends at its start; and the workers of one that is
    ``busy`` drain until ``drained``.
    """

    def __init__(
        self,
        site: Site,
        namespec: str,
        pid: int,
        facts: Mapping[str, Any],
        binds: Sequence[str] = (),
    ) -> None:
        self._site, self.namespec = site, namespec
        self.id = site.fork(pid, SUPERVISORD_PID, f"gunicorn: master [{namespec}]")
        self.facts: dict[str, Any] = {
            "gunicorn": "27.0.1",
            "timeout": 30,
            "preload": False,
            "reuse_port": False,
            "missing": "",
            **facts,
        }
        self.binds = list(binds)
        if binds:
            self.facts = {**self.facts, "listens": True, "binds": tuple(binds)}
        self.boots: Callable[[int], Iterable[type[Message] | None]] = lambda age: BOOT
        self.sockets: dict[str, int] = {}
        self.changes = 0
        self._asks_until = 0.0
        self.is_successor = self.is_broken = self.stopping = self.ended = False
        self.has_handlers = self.is_stopped = False  # before those, a TTIN or TTOU stops it (T)
        self.busy = False
        self.deaf_to_due = False  # whether what its workers that are due are answered is lost
        self.no_forks = ""  # why no worker can be started, if so
        self.keeps_paths: bool | None = None  # what it was told about its Unix sockets at its end
        self.output = ""
        super().__init__(0, pid)

    # --- its beginning and its end ---------------------------------------------------------------

    def begin(self, workers: int) -> None:
        """supervisord has just spawned it, with so many workers in its configuration."""
        self._num_workers, self.changes, self.configured = workers, 1, workers
        self.facts["configured"] = workers
        if self.ended:
            return
        if self.is_broken:
            self._site.inbox.append(lambda: self.end("exit status 3"))
        elif self.binds:
            self._asks_until = self._site.now + ASKS_SECS
            self._ask_for_sockets()
        else:
            self.has_handlers = True
            self._manage()

    def answered(self, pid: int, kind: type[Message], answer: Ack | None, fds: list[int]) -> None:
        """Who asked has its answer, or will have none (None)."""
        said = Ack() if answer is None else answer
        if self.ended or self.is_stopped or (pid != self.id.pid and pid not in self.workers):
            close(fds)
        elif kind is Starting:
            if answer is None and self.is_successor and self._site.now < self._asks_until:
                self._site.after(ASKS_EVERY_SECS, self._ask_for_sockets)
            else:
                self._got_sockets(said, fds)
        elif kind is Stopping:
            self.keeps_paths = said.keep
            self._gone("exit status 0")
        elif kind is Listening:
            if pid == self.id.pid:
                self._manage()
        elif said.want_sockets:
            self.hand_in(pid)
        elif kind is Due and said.retire_age and not self.deaf_to_due:
            worker = self.workers[pid]
            page_of(worker).retire_age = said.retire_age
            self.say(pid, Due, **worker.due)
        if kind is Ready and answer is not None and not answer.surplus and (pid in self.workers):
            self.workers[pid].surplus = False

    def hand_in(self, pid: int) -> None:
        """The arbiter, or a worker, hands in what the arbiter listens on."""
        self.say(
            pid,
            Listening,
            list(self.sockets.values()),
            sockets=tuple(self.sockets),
            fds=tuple(map(str, self.sockets.values())),
        )

    def stop(self) -> None:
        """supervisord asks it to stop."""
        if self.stopping or self.ended:
            return
        self.stopping = True
        key = next(key for key, one in self._site.programs.items() if one is self)
        self._site.supervisord.put(key, self.id.pid, "STOPPING")
        for worker in list(self.workers.values()):
            self.drain(worker)
        if not self.has_handlers:
            self._site.inbox.append(lambda: self.end("terminated by SIGTERM"))
        elif not self.workers:
            self._site.inbox.append(self._stopped)

    def halt(self, how: str = "exit status 1") -> None:
        """The arbiter exits with all its workers, and supervisord says so."""
        self.end(how)
        self._site.coordinator.processes_changed()

    def end(self, how: str) -> None:
        """The arbiter is gone at once, and its workers with it."""
        pids = list(self.workers)
        self.workers.clear()
        self._gone(how)
        for pid in pids:
            self._site.die(pid)

    def close(self) -> None:
        close(self.sockets.values())
        self.sockets = {}

    def _ask_for_sockets(self) -> None:
        self.say(self.id.pid, Starting, configured=self.configured)

    def _got_sockets(self, answer: Ack, fds: list[int]) -> None:
        kept = dict(zip(answer.sockets, fds, strict=True))
        refused = answer.refused
        if not answer.successor or (self._own_binds and not kept):
            refused = refused or "the listener gave no sockets"
        if self.is_successor and refused:
            close(fds)
            self.output += f"cannot start beside the arbiter that serves: {refused}\n"
            self._site.inbox.append(lambda: self.end("exit status 1"))
            return
        self._num_workers = answer.workers or self.num_workers
        self.sockets = {address: kept.pop(address, -1) for address in self._own_binds}
        self.sockets = {
            address: open_socket() if fd < 0 else fd for address, fd in self.sockets.items()
        }
        close(kept.values())
        self.has_handlers = True
        if self.sockets:
            self.hand_in(self.id.pid)
        else:
            self._manage()

    @property
    def _own_binds(self) -> list[str]:
        return [one for one in self.binds if not one.startswith("fd://")]

    def _manage(self) -> None:
        if self.no_forks and len(self.workers) < self.num_workers:
            self.say(self.id.pid, ForkFailed, error=self.no_forks, surplus=False)
        elif not self.stopping:
            super()._manage()

    def _stopped(self) -> None:
        """The last worker has left an arbiter that stops: ``on_exit``."""
        if any(one.startswith("unix:") for one in self.binds):
            self.say(self.id.pid, Stopping, paths=tuple(self.binds))
        else:
            self._gone("exit status 0")

    def _gone(self, how: str) -> None:
        if not self.ended:
            self.ended = True
            self.close()
            self._site.die(self.id.pid)
            self._site.supervisord.ended(self, how)

    # --- what it says ---------------------------------------------------------------------------

    def counted(self) -> None:
        self.changes += 1
        self.say(self.id.pid, Counted)

    def say(
        self, pid: int, kind: type[Message], with_fds: Sequence[int] = (), **fields: Any
    ) -> None:
        """Put a message of the arbiter or a worker into the inbox."""
        worker = self.workers.get(pid)
        about = (
            {"binds": tuple(self.binds)}
            if worker is None
            else {**self.facts, "age": worker.said_age, "surplus": worker.surplus}
        )
        about |= {"boot_secs": 1.5} if kind is Ready else {}
        message = kind(**{**about, "changes": self.changes, "workers": self.num_workers, **fields})
        asked = worker is not None and kind is not Booting
        self._site.say(pid, message, asked or kind in (Starting, Listening, Stopping), with_fds)

    # --- its workers ----------------------------------------------------------------------------

    @property
    def workers(self) -> dict[int, FakeWorker]:
        return self.WORKERS

    def spawn_worker(self) -> None:
        super().spawn_worker()
        worker = self.by_age[-1]
        self._site.fork(worker.pid, self.id.pid, "gunicorn: worker", marked=True)
        for kind in self.boots(worker.age):
            if kind is None:
                self._site.inbox.append(lambda: self.exit(worker.pid))
            else:
                self.say(worker.pid, kind)

    def signal(self, name: str) -> None:
        """What the hooks and Gunicorn make of a signal to the arbiter."""
        self.is_stopped = self.is_stopped or not self.has_handlers
        if self.is_stopped:
            return
        if name == "TTIN" and self.no_forks:
            self._num_workers += 1
            self.counted()
            self.say(self.id.pid, ForkFailed, error=self.no_forks, surplus=True)
            self._num_workers -= 1
            self.counted()
        elif name == "TTIN":
            self.ttin()
        elif name == "TTOU":
            self.ttou()

    def retire(self, worker: FakeWorker) -> None:
        self.drain(worker)

    def drain(self, worker: FakeWorker) -> None:
        if not worker.draining:
            worker.draining = True
            if not self.busy:
                self._site.inbox.append(lambda: self.exit(worker.pid))

    def due(self, age: int, why: str, over: float = 1.0) -> None:
        """A worker says, as it does every few seconds, that it is past a limit."""
        worker = self.aged(age)
        worker.due = {"why": why, "over": over}
        self.say(worker.pid, Due, **worker.due)

    def drained(self) -> None:
        """The workers that were asked to leave have answered their last request."""
        for worker in list(self.workers.values()):
            if worker.draining:
                self.exit(worker.pid)

    def exit(self, pid: int) -> None:
        """The worker is gone, is reaped, and is replaced if the arbiter wants it so."""
        worker = self.workers.get(pid)
        if worker is None:
            return
        self._site.die(pid)
        self.reap(worker)
        if self.stopping and not self.workers:
            self._stopped()

    @property
    def serving(self) -> list[int]:
        """The ages of the workers that are ready and stay."""
        return sorted(one.born for one in self.workers.values() if one.ready and not one.draining)


def open_socket() -> int:
    """A real socket that listens, at an address of the kernel's choice."""
    made = socket.socket(socket.AF_UNIX)
    made.bind("")
    made.listen()
    return made.detach()


def close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
