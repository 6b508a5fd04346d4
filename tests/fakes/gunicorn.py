"""As much of Gunicorn's Arbiter as our hooks touch, with the real hooks in it. It forks nothing.

It keeps its workers as Gunicorn does: what it wants changes with TTIN, TTOU and HUP, it
spawns while it has too few, and TERMs its oldest while it has too many; one that drains
counts until it is gone. ``hooks`` are those of supervisor_roll.hooks, called as Gunicorn
calls them.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, ClassVar

from supervisor_roll import hooks
from supervisor_roll.hooks.shared_memory import page_of


class FakeWorker:
    """``draining``: it has been asked to leave."""

    def __init__(self, age: int) -> None:
        self.age = self.born = age  # the latter is its name, however the arbiter sorts it
        self.pid = 0
        self.cfg: Any = None
        self.draining = False
        self.due: dict[str, Any] = {}  # what it says of the limit that it is past

    @property
    def said_age(self) -> int:
        """The age that it says it has."""
        page = page_of(self)
        return (page.retire_age if page is not None else 0) or self.age

    @property
    def surplus(self) -> bool:
        page = page_of(self)
        return page is not None and page.surplus

    @surplus.setter
    def surplus(self, value: bool) -> None:
        page = page_of(self)
        page.surplus = value

    @property
    def ready(self) -> bool:
        """What its own hook notes on the page that it shares with the arbiter."""
        page = page_of(self)
        return page is not None and page.ready

    @ready.setter
    def ready(self, value: bool) -> None:
        page = page_of(self)
        if page is not None:
            page.ready = value


class FakeArbiter:
    """``termed`` are the ages of the workers that were asked to leave, each once, in order."""

    make_worker = FakeWorker
    START_CTX: ClassVar = {"cwd": "/nonexistent"}

    def __init__(self, workers: int, pid: int = 1000) -> None:
        self.configured = workers
        self.cfg = self._configuration()
        self.app = SimpleNamespace(app_uri="app:application")
        self.pid = pid  # of another process: where the hooks run now is none of its places
        self.WORKERS: dict[int, Any] = {}
        self.termed: list[int] = []
        self.worker_age = 0
        self._num_workers: int | None = None
        self.num_workers = workers
        self._manage()

    def _configuration(self) -> Any:
        return SimpleNamespace(
            address=[],
            chdir="/nonexistent",
            config=None,
            graceful_timeout=30,
            preload_app=False,
            reload=False,
            reuse_port=False,
            settings={},
            timeout=30,
            uid=os.geteuid(),
            workers=self.configured,
        )

    @property
    def num_workers(self) -> Any:
        return self._num_workers

    @num_workers.setter
    def num_workers(self, value: int) -> None:
        before, self._num_workers = self._num_workers, value
        if before not in (None, value):
            self.counted()
        hooks.nworkers_changed(self, value, before)

    def counted(self) -> None:
        """The listener is told of another count."""

    @property
    def ages(self) -> list[int]:
        return [one.born for one in self.by_age]

    @property
    def by_age(self) -> list[Any]:
        return sorted(self.WORKERS.values(), key=lambda one: one.age)

    def spawn_worker(self) -> None:
        self.worker_age += 1
        worker = self.make_worker(self.worker_age)
        worker.cfg = self.cfg
        hooks.pre_fork(self, worker)
        worker.pid = self.pid + worker.age
        self.WORKERS[worker.pid] = worker

    def ttin(self) -> None:
        self.handle_ttin()
        self._manage()

    def handle_ttin(self) -> None:
        self.num_workers += 1
        self._manage()

    def ttou(self) -> None:
        if self.num_workers > 1:
            self.num_workers -= 1
            self._manage()

    def hup(self) -> None:
        """Read the configuration again and fork all anew."""
        self.cfg = self._configuration()
        self.num_workers = self.configured
        hooks.on_reload(self)
        for _ in range(self.configured):
            self.spawn_worker()
        self._manage()

    def make_ready(self, *ages: int) -> None:
        for age in ages:
            self.aged(age).ready = True

    def aged(self, age: int) -> Any:
        """The living worker of that age."""
        return next(one for one in self.WORKERS.values() if one.born == age)

    def reap(self, worker: Any) -> None:
        """The worker is gone, and is replaced if the arbiter wants it so."""
        del self.WORKERS[worker.pid]
        hooks.child_exit(self, worker)
        self._manage()

    def retire(self, worker: Any) -> None:
        """TERM it."""
        if worker.born not in self.termed:
            self.termed.append(worker.born)
        worker.draining = True

    def surplus(self) -> list[int]:
        """The ages of those that would not be replaced."""
        return [one.born for one in self.by_age if one.surplus]

    def _manage(self) -> None:
        while len(self.WORKERS) < self.num_workers:
            self.spawn_worker()
        for worker in self.by_age[: max(0, len(self.WORKERS) - self.num_workers)]:
            self.retire(worker)
