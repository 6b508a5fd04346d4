"""Recycling: a worker that is past a limit is replaced, and then leaves.

It is a rollout of which only such workers are outdated, so that all that holds for a rollout
holds for it: a fresh worker is ready first, and one that fails leaves the old ones serving. What is
more: it is nothing that anybody waits for. So it gives way to what an operator asks for, and after
a failure it takes its time.
"""

from __future__ import annotations

import logging
import signal
import uuid
from collections.abc import Callable
from typing import Any

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker, cut
from supervisor_roll.listener.configuration.sections import Configuration
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.recycling.back_off import BackOff
from supervisor_roll.listener.recycling.memory_watch import MemoryWatch
from supervisor_roll.listener.rollouts.active import ActiveRollouts, Ended
from supervisor_roll.listener.rollouts.eligibility import why_not_recycle
from supervisor_roll.listener.rollouts.jobs import Jobs
from supervisor_roll.listener.rollouts.run import Job, Run
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import PAUSED
from supervisor_roll.wire.mailbox import BY_LISTENER, OWN_RECYCLING, Request
from supervisor_roll.wire.messages import Due
from supervisor_roll.wire.successor import RETIRE

log = logging.getLogger("supervisor_roll")

# The age by which a worker is retired is so often how many times its limit it has reached: below
# that of any worker that is not due, and the lower the further over.
_OVER = 1_000_000
_MOST_OVER = 1000.0


class Recycler:
    """Keeps which workers are due, and has them replaced, program by program.

    ``back_offs`` are to be saved.
    """

    def __init__(
        self, jobs: Jobs, active: ActiveRollouts, configuration: Callable[[], Configuration]
    ) -> None:
        self._jobs, self._active = jobs, active
        self._memory = MemoryWatch(active.registry.table, configuration)
        self._forbidden = Seldom()
        self.back_offs: dict[str, BackOff] = {}
        self._due: set[InstanceId] | None = None  # arbiters with workers that are; None: look

    # --- what is answered to workers ------------------------------------------------------------

    def told_ready(self, arbiter: Arbiter, settings: Settings) -> dict[str, Any]:
        """Return what a worker that is ready must know of its limits."""
        if not settings.recycle or arbiter.facts.reload or why_not_recycle(arbiter):
            return {}
        if settings.max_worker_rss_mib is not None:
            self._memory.begin()
        return {
            "recycle": True,
            "grace_secs": settings.recycle_grace_secs,
            "lifetime_secs": settings.max_worker_lifetime_secs or 0.0,
        }

    def told_due(
        self, arbiter: Arbiter, worker: Worker, settings: Settings, message: Due
    ) -> dict[str, Any]:
        """Take note that a worker is due, and return the answer."""
        if not settings.recycle:
            worker.due = ""
            return {"unasked": True}
        if message.why:
            worker.due, worker.over = cut(message.why), message.over
        if not worker.due:
            return {"recycle": True, "unasked": True}
        if self._due is not None:
            self._due.add(arbiter.id)
        run = self._active.runs.get(arbiter.namespec)
        fields: dict[str, Any] = {"recycle": True}
        # While a rollout is under way it is settled already in which order workers go.
        if (run is None or (run.rollout is None and run.job.recycles)) and not worker.is_next:
            worker.offered, worker.offered_at = self._order(arbiter, worker), self._active.clock()
            fields["retire_age"] = worker.offered
        back_off = self.back_offs.get(arbiter.namespec)
        paused = run is not None and run.rollout is not None and run.rollout.state == PAUSED
        if (run is not None and not paused) or (back_off is not None and back_off.broken):
            fields["more_grace"] = True
        return fields

    def _order(self, arbiter: Arbiter, worker: Worker) -> int:
        taken = {one.offered for one in arbiter.workers.values() if one is not worker}
        age = -int(_OVER * min(max(worker.over, 1.0), _MOST_OVER))
        while age in taken:
            age -= 1
        return age

    # --- what is asked for by hand --------------------------------------------------------------

    def accept(self, request: Request) -> None:
        """Have the workers replaced that a request names, or of each program the largest."""
        recycles: list[InstanceId] = []
        for namespec in request.programs:
            found = self._named(namespec, request)
            why = found if isinstance(found, str) else self._ask(found)
            if why:
                self._active.outbox.report(request.id, namespec, reports.Refused(why))
            elif not isinstance(found, str):
                recycles += [one.id for one in found]
        programs = [
            name
            for name in request.programs
            if any(set(recycles) & {*one.workers} for one in self._active.registry.siblings(name))
        ]
        if not programs:
            self._active.outbox.done.append(request.id)
            return
        job = Job(request.id, programs, {}, request.by, request.at, recycles=recycles)
        self._jobs.begin(job, parallel=1)

    def _named(self, namespec: str, request: Request) -> list[Worker] | str:
        """Return these workers, which are due by that; or why they cannot be."""
        if self._is_busy(namespec):
            return f"it is being rolled already; to follow that: rollstatus --follow {namespec}"
        arbiters = [one for one in self._active.registry.siblings(namespec) if not one.successor]
        workers = [one for at in arbiters for one in at.workers.values() if one.heard]
        if not workers:
            return "nothing was heard of its workers: do they run, with the hooks?"
        why_not = why_not_recycle(arbiters[0])
        if why_not:
            return why_not
        pids = {one.id.pid: one for one in workers}
        strangers = [str(pid) for pid in request.pids if pid not in pids]
        if strangers:
            known = ", ".join(map(str, sorted(pids)))
            return f"no worker of it: {', '.join(strangers[:10])}; its workers are {known}"
        found = [pids[pid] for pid in dict.fromkeys(request.pids)]
        if not found:
            sizes = self._active.registry.table.own_bytes
            found = [max(workers, key=lambda one: (sizes(one.id.pid), -one.age))]
        for one in found:
            one.due, one.over = "as asked for", _MOST_OVER
        return found

    # --- what is done ---------------------------------------------------------------------------

    def tick(self) -> None:
        """Begin with what is due. Raises SupervisordError."""
        self._note()
        now = self._active.clock()
        if self._memory.is_due(now):
            self._look_at_memory(now)
        for arbiter in self._with_due():
            due = [one for one in arbiter.workers.values() if one.due and one.is_next]
            back_off = self.back_offs.get(arbiter.namespec)
            waits = back_off is not None and now < back_off.until
            if due and not waits and not self._is_busy(arbiter.namespec):
                self._begin(arbiter, due)
        self._note()

    @property
    def has_due(self) -> bool:
        """Whether workers are due, be it that they have to wait."""
        return bool(self._with_due())

    def next_deadline(self) -> float | None:
        return self._memory.next_deadline()

    def _look_at_memory(self, now: float) -> None:
        refused = dict(self._memory.refused)
        arbiters = self._active.registry.arbiters.values()
        recycled = [one for one in arbiters if not (one.successor or why_not_recycle(one))]
        self._ask(self._memory.look(recycled, now))
        changed = self._memory.refused.items() ^ refused.items()
        self._active.outbox.unsaved |= {one for one, _ in changed}

    def _ask(self, workers: list[Worker]) -> str:
        """Ask workers to say that they are due, so that they take their place in the order.

        Returns why that is not possible, if so.
        """
        for worker in workers:
            try:
                self._active.registry.table.send(worker.id, signal.Signals[f"SIG{RETIRE}"])
            except PermissionError:
                worker.due = ""
                why = (
                    f"the listener may not signal worker {worker.id.pid}: run it as root or as the "
                    "worker's user"
                )
                self._forbidden.warn("%s", why)
                return why
        return ""

    def _with_due(self) -> list[Arbiter]:
        """Return the arbiters with workers that are due: only these are looked at each time."""
        arbiters = self._active.registry.arbiters
        known = arbiters if self._due is None else self._due & arbiters.keys()
        found = [arbiters[id] for id in known]
        found = [one for one in found if any(worker.due for worker in one.workers.values())]
        self._due = {one.id for one in found}
        return found

    def _is_busy(self, namespec: str) -> bool:
        """Whether it is being rolled, be it for a recycling, or is yet to be by a job under way."""
        return namespec in self._active.runs or self._jobs.is_busy(namespec)

    def _begin(self, arbiter: Arbiter, due: list[Worker]) -> None:
        job = f"{OWN_RECYCLING}{uuid.uuid4().hex[:12]}"
        wall = self._active.outbox.wall()
        recycles = [one.id for one in due]
        self._jobs.begin(
            Job(job, [arbiter.namespec], {}, BY_LISTENER, wall, recycles=recycles), parallel=1
        )

    def _note(self) -> None:
        """Note how what was begun has ended."""
        ends, self._active.ends = self._active.ends, []
        for one in ends:
            if isinstance(one.facts, reports.Complete):
                # Whatever was replaced: the release can serve.
                self.back_offs.pop(one.run.namespec, None)
                self._active.outbox.unsaved.add(one.run.namespec)
                self._warn_of_release(one.run)
            elif one.run.job.recycles:
                self._note_failure(one)

    def _warn_of_release(self, run: Run) -> None:
        """Say that fresh code has come with a recycling, as far as it is told what workers run."""
        arbiter = self._active.registry.running(run.arbiter)
        if arbiter is None or run.rollout is None or not run.job.recycles:
            return
        kept = {one.id for one in run.rollout.instances if one.kept}
        releases = {one.release for id, one in arbiter.workers.items() if id in kept}
        for id, worker in arbiter.workers.items():
            if (
                id not in kept
                and worker.release
                and worker.release not in releases
                and any(releases)
            ):
                log.warning(
                    "%s: worker %d runs another release (%s) than the others (%s): rollrestart %s",
                    run.namespec,
                    id.pid,
                    worker.release,
                    ", ".join(sorted(filter(None, releases))),
                    run.namespec,
                )

    def _note_failure(self, ended: Ended) -> None:
        namespec, facts = ended.run.namespec, ended.facts
        if not ended.run.job.id.startswith(OWN_RECYCLING):  # who asked for it may ask again
            for arbiter in self._active.registry.siblings(namespec):
                for worker in arbiter.workers.values():
                    if worker.id in ended.run.job.recycles:
                        worker.due = ""
            return
        back_off = self.back_offs.setdefault(namespec, BackOff())
        why = getattr(facts, "why", "") or facts.kind
        now = self._active.clock()
        back_off.failed(cut(why), isinstance(facts, reports.Failed), now)
        self._active.outbox.unsaved.add(namespec)
        log.log(
            logging.INFO if isinstance(facts, reports.Aborted) else logging.ERROR,
            "%s: no worker was recycled, and none less serves; trying again in %.0f s: %s",
            namespec,
            back_off.until - now,
            why,
        )

    def told(self) -> dict[str, str]:
        """Return what rollstatus shows of each program's recycling, where there is something."""
        found = dict(self._memory.refused)
        found |= {name: f"recycling failed: {one.why}" for name, one in self.back_offs.items()}
        for name, run in self._active.runs.items():
            if run.job.recycles:
                found[name] = "; ".join(run.reasons)
        return found
