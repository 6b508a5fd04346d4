"""As much of Gunicorn's Arbiter as our hooks touch. It forks nothing.

It keeps its workers as Gunicorn does: what it wants changes with TTIN, TTOU and HUP, it
spawns while it has too few, and TERMs its oldest while it has too many; one that drains
counts until it is gone. ``hooks`` are those of supervisor_roll.hooks, called as Gunicorn
calls them.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from supervisor_roll import hooks
from supervisor_roll.hooks.shared_memory import page_of


class WorkerLike:
    def __init__(self, age: int) -> None:
        self.age = age
        self.pid = 0


class ArbiterLike:
    """``termed`` are the ages of the workers that were asked to leave, each once, in order."""

    def __init__(self, workers: int) -> None:
        self.cfg = SimpleNamespace(uid=os.geteuid())
        self.WORKERS: dict[int, WorkerLike] = {}
        self.termed: list[int] = []
        self.worker_age = 0
        self.configured = workers
        self._num_workers: int | None = None
        self.num_workers = workers
        self._manage()

    @property
    def num_workers(self) -> Any:
        return self._num_workers

    @num_workers.setter
    def num_workers(self, value: int) -> None:
        before, self._num_workers = self._num_workers, value
        hooks.nworkers_changed(self, value, before)

    @property
    def ages(self) -> list[int]:
        return [one.age for one in self._by_age]

    def spawn_worker(self) -> None:
        self.worker_age += 1
        worker = WorkerLike(self.worker_age)
        hooks.pre_fork(self, worker)
        worker.pid = 1000 + worker.age
        self.WORKERS[worker.pid] = worker

    def ttin(self) -> None:
        self.num_workers += 1
        self._manage()

    def ttou(self) -> None:
        if self.num_workers > 1:
            self.num_workers -= 1
            self._manage()

    def hup(self) -> None:
        """Read the configuration again and fork all anew."""
        self.num_workers = self.configured
        hooks.on_reload(self)
        for _ in range(self.configured):
            self.spawn_worker()
        self._manage()

    def make_ready(self, *ages: int) -> None:
        """What the worker's own hook notes on the page that it shares with us."""
        for worker in self._by_age:
            page = page_of(worker)
            if worker.age in ages and page is not None:
                page.ready = True

    def exit(self, age: int) -> None:
        """The worker is gone, and is reaped."""
        pid = next(pid for pid, one in self.WORKERS.items() if one.age == age)
        worker = self.WORKERS.pop(pid)
        hooks.child_exit(self, worker)
        self._manage()

    def surplus(self) -> list[int]:
        """The ages of those that would not be replaced."""
        return [one.age for one in self._by_age if (page := page_of(one)) and page.surplus]

    @property
    def _by_age(self) -> list[WorkerLike]:
        return sorted(self.WORKERS.values(), key=lambda one: one.age)

    def _manage(self) -> None:
        while len(self.WORKERS) < self.num_workers:
            self.spawn_worker()
        for worker in self._by_age[: max(0, len(self.WORKERS) - self.num_workers)]:
            if worker.age not in self.termed:
                self.termed.append(worker.age)
