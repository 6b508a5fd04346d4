"""The mailbox: what supervisord keeps between supervisorctl and the listener.

Plain memory, bounded in every direction. It lives on the Supervisor object, so that all
HTTP servers share it and `reload` begins with an empty one.
"""

from __future__ import annotations

import secrets
import uuid
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from supervisor_roll.rollout.reports import Refused
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import Exchange, Job, Report, Request, Status

# Those that are not done are never dropped, so that no more are taken then.
MAX_JOBS = 100
MAX_REPORTS = 2000
# supervisord does nothing else while it answers, so that one answer is small: the names of the jobs
# under way (status), and the reports of one job, as JSON (reports).
MAX_NAMES_CHARS = 256 * 1024
MAX_ANSWER_CHARS = 128 * 1024
# One job's reports, as JSON: the oldest go.
MAX_JOB_CHARS = 2 * 1024 * 1024
# A rollout that begins long after it was asked for would surprise.
PENDING_SECS = 60.0


@dataclass
class _Job:
    job: Job
    reports: deque[tuple[Report, int]] = field(default_factory=deque)  # with its size
    chars: int = 0
    seq: int = 0
    done: bool = False

    def add(self, report: Report) -> None:
        self.seq += 1
        report = replace(report, seq=self.seq)
        size = len(to_json(report))
        self.reports.append((report, size))
        self.chars += size
        while len(self.reports) > MAX_REPORTS or self.chars > MAX_JOB_CHARS:
            self.chars -= self.reports.popleft()[1]

    def after(self, since: int) -> list[Report]:
        """Return the reports with a number above ``since``, as far as one answer has room."""
        found, room = list[Report](), MAX_ANSWER_CHARS
        for report, size in self.reports:
            if report.seq > since:
                room -= size
                if found and room < 0:
                    break
                found.append(report)
        return found


class Mailbox:
    """``now`` is in seconds of a monotonic clock, ``at`` in seconds since the epoch."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.state = ""
        self.trouble = ""  # what the listener said last that is wrong with itself
        self.statuses: dict[str, Status] = {}
        self.listener: tuple[int, str] | None = None  # its pid, and its namespec ("" if unknown)
        self._pending: dict[str, tuple[Request, float]] = {}
        self._jobs: dict[str, _Job] = {}

    @property
    def full(self) -> bool:
        jobs = self.jobs
        names = sum(len(name) for job in jobs for name in job.programs)
        return len(jobs) >= MAX_JOBS or names > MAX_NAMES_CHARS

    def put(
        self, ask: wire.Command, programs: list[str], wildcard: bool, now: float, at: float
    ) -> Request:
        """Make a request of ``ask``. One without programs is done at once."""
        # Ids must not repeat after a `reload`, where somebody may still wait for an old one.
        request = Request(
            uuid.uuid4().hex[:12],
            ask.kind,
            programs,
            ask.values,
            ask.by,
            at,
            wildcard,
            ask.parallel,
        )
        kept = self._keep(Job(request.id, ask.kind, programs, ask.by))
        if programs:
            self._pending[request.id] = (request, now)
        else:
            kept.done = True
        return request

    def exchange(self, said: Exchange, now: float, at: float) -> wire.Delivery:
        """Take what the listener said, and give it what waits for it."""
        if said.state is not None:
            self.state = said.state
        for id in said.fetched:
            self._pending.pop(id, None)
        for report in said.reports:
            self._job_of(report).add(report)
        if said.statuses is not None:
            self.statuses = said.statuses
        self.trouble = said.trouble
        for id in said.done:
            if id in self._jobs:
                self._jobs[id].done = True
        self._expire(now, at)
        return wire.Delivery(
            [request for request, _ in self._pending.values()],
            self.state if said.hello else "",
            jobs=[job.id for job in self.jobs if job.id not in self._pending] if said.hello else [],
        )

    def reports(self, id: str, since: int) -> tuple[list[Report], bool] | None:
        """Return a job's next reports after number ``since``, and whether these are its last.

        None if there is no such job.
        """
        kept = self._jobs.get(id)
        if kept is None:
            return None
        found = kept.after(since)
        whole = max(since, found[-1].seq if found else 0) >= kept.seq
        return found, kept.done and whole

    @property
    def jobs(self) -> list[Job]:
        """Those that are not done, oldest first."""
        return [kept.job for kept in self._jobs.values() if not kept.done]

    def forget_others(self, programs: Collection[str]) -> None:
        """Drop the statuses of all but ``programs``."""
        self.statuses = {name: one for name, one in self.statuses.items() if name in programs}

    def _job_of(self, report: Report) -> _Job:
        kept = self._jobs.get(report.job)
        if kept is None:  # the listener began it
            kept = self._keep(Job(report.job, wire.ROLLOUT, [], "the listener"))
        if report.program not in kept.job.programs:
            kept.job.programs.append(report.program)
        return kept

    def _keep(self, job: Job) -> _Job:
        done = [id for id, kept in self._jobs.items() if kept.done]
        for id in done[: max(0, len(self._jobs) + 1 - MAX_JOBS)]:
            del self._jobs[id]
        kept = self._jobs[job.id] = _Job(replace(job, programs=list(job.programs)))
        return kept

    def _expire(self, now: float, at: float) -> None:
        for id, (request, since) in list(self._pending.items()):
            if now - since > PENDING_SECS:
                del self._pending[id]
                why = f"no listener picked this up within {PENDING_SECS:g} s; try again"
                for program in request.programs:
                    self._jobs[id].add(Report(id, program, Refused.kind, {"why": why}, at))
                self._jobs[id].done = True
