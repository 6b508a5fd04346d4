"""The mailbox: what supervisord keeps between supervisorctl and the listener.

Plain memory, bounded in every direction. It lives on the Supervisor object, so that all
HTTP servers share it and `reload` begins with an empty one.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Collection, Mapping

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.reports import Refused
from supervisor_roll.rpc.kept_job import KeptJob
from supervisor_roll.rpc.page.documents import Documents
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.mailbox import Exchange, Job, Report, Request, Status
from supervisor_roll.wire.workers import MAX_WORKERS_CHARS, WATCHED_SECS

# Those that are not done are never dropped, so that no more are taken then.
MAX_JOBS = 100
# supervisord does nothing else while it answers with the names of the jobs under way (status).
MAX_NAMES_CHARS = 256 * 1024
# Of the reports of jobs that are done; the last ones are read by who has followed those jobs.
MAX_DONE_CHARS = 64 * 1024
# A rollout that begins long after it was asked for would surprise.
PENDING_SECS = 60.0


class Mailbox:
    """``now`` is in seconds of a monotonic clock, ``at`` in seconds since the epoch."""

    def __init__(
        self,
        told: Callable[[Report, Job], None] = lambda report, job: None,
        ring: Callable[[], None] = lambda: None,
    ) -> None:
        """``told`` is called with each report, and its job; ``ring`` has the listener look."""
        self._told = told
        self.documents = Documents(ring)
        self.token = secrets.token_hex(16)
        self.state: dict[str, dict[str, str]] = {}  # program -> part -> text
        self._state_chars = 0
        self._sent = 0  # the number of the last signal
        self.trouble = ""  # what the listener said last that is wrong with itself
        self.package_version = ""  # the listener's
        self.statuses: dict[str, Status] = {}
        # What somebody watches: program -> pid -> text, as the listener told it last.
        self.workers: dict[str, dict[str, str]] = {}
        self.workers_at = 0.0  # seconds since the epoch; 0: it has not yet
        self._watched_until = 0.0
        self.listener: tuple[int, str] | None = None  # its pid, and its namespec ("" if unknown)
        self._pending: dict[str, tuple[Request, float]] = {}
        self._jobs: dict[str, KeptJob] = {}

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
            ask.pids,
            ask.last,
        )
        kept = self._keep(Job(request.id, ask.kind, programs, ask.by), now)
        if programs:
            self._pending[request.id] = (request, now)
        else:
            kept.end(now)
        return request

    def exchange(
        self, said: Exchange, now: float, at: float, send: Callable[[str, str], str]
    ) -> wire.Delivery:
        """Take what the listener said, and give it what waits for it. Raises BadMessage.

        ``send`` sends a process, by its namespec, a signal, by name; it says why not, if so.
        """
        self._save(said)
        for id in said.fetched:
            self._pending.pop(id, None)
        for report in said.reports:
            kept = self._job_of(report, now)
            kept.add(report)
            self._told(report, kept.job)
        watched = now < self._watched_until
        self._show(said, watched, at)
        self.trouble = said.trouble
        if said.hello:
            self.package_version = said.package_version
        for id in said.done:
            if id in self._jobs:
                self._jobs[id].end(now)
        self._expire(now, at)
        self._forget_done(now)
        self.documents.take(said.documents)
        names, page_watched = self.documents.wanted()
        return wire.Delivery(
            [request for request, _ in self._pending.values()],
            self._signal(said, send),
            self.state if said.hello else {},
            jobs=[job.id for job in self.jobs if job.id not in self._pending] if said.hello else [],
            watched=watched,
            documents=names,
            page_watched=page_watched,
        )

    def reports(self, id: str, since: int, now: float) -> tuple[list[str], bool] | None:
        """Return a job's next reports after number ``since``, and whether these are its last.

        They are JSON text. None if there is no such job.
        """
        kept = self._jobs.get(id)
        return None if kept is None else kept.after(since, now)

    def watch(self, now: float) -> bool:
        """Note that somebody wants to see the workers; whether the listener is to be told so."""
        new = now >= self._watched_until
        self._watched_until = now + WATCHED_SECS
        return new

    @property
    def jobs(self) -> list[Job]:
        """Those that are not done, oldest first."""
        return [kept.job for kept in self._jobs.values() if kept.ended is None]

    def forget_others(self, programs: Collection[str]) -> None:
        """Drop the statuses of all but ``programs``."""
        self.statuses = {name: one for name, one in self.statuses.items() if name in programs}

    def _save(self, said: Exchange) -> None:
        """Keep what has changed of the state and the statuses. Raises BadMessage."""
        more = sum(len(text or "") for parts in said.state.values() for text in parts.values())
        if not said.whole and self._state_chars + more > wire.MAX_STATE_CHARS:
            raise BadMessage(f"state: it has more than {wire.MAX_STATE_CHARS} characters")
        if said.whole:
            self.state, self.statuses, self._state_chars = {}, {}, 0
        self._state_chars += _merge(self.state, said.state)
        for program, status in said.statuses.items():
            if status is None:
                self.statuses.pop(program, None)
            else:
                self.statuses[program] = status

    def _show(self, said: Exchange, watched: bool, at: float) -> None:
        """Keep the workers that the listener tells of, as long as they are watched."""
        if said.hello or said.whole or not watched:
            self.workers, self.workers_at = {}, 0.0
        if watched and (said.workers or self.workers_at):
            self.workers_at = at
        if not watched or not said.workers:
            return
        _merge(self.workers, said.workers)
        chars = sum(len(text) for one in self.workers.values() for text in one.values())
        if chars > MAX_WORKERS_CHARS:
            self.workers = {}  # which our own listener never lets come to pass

    def _signal(self, said: Exchange, send: Callable[[str, str], str]) -> list[str]:
        """Send what was not sent before; why some were not."""
        if said.hello:
            self._sent = 0
        new = [one for one in said.signals if one.number > self._sent]
        self._sent = max([self._sent, *(one.number for one in new)])
        return list(filter(None, (send(one.namespec, one.name) for one in new)))

    def _job_of(self, report: Report, now: float) -> KeptJob:
        kept = self._jobs.get(report.job)
        if kept is None:  # the listener began it
            kept = self._keep(Job(report.job, wire.ROLLOUT, [], wire.BY_LISTENER), now)
        if report.program not in kept.job.programs:
            kept.job.programs.append(report.program)
        return kept

    def _keep(self, job: Job, now: float) -> KeptJob:
        self._jobs[job.id] = KeptJob(job)
        self._forget_done(now)
        return self._jobs[job.id]

    def _forget_done(self, now: float) -> None:
        """Drop the oldest jobs that are done where there are too many, or too much is kept."""
        done = {id: kept for id, kept in self._jobs.items() if kept.ended is not None}
        chars = sum(kept.chars for kept in done.values())
        for id, kept in done.items():
            spared = chars <= MAX_DONE_CHARS or now < kept.followed_until
            if len(self._jobs) <= MAX_JOBS and spared:
                break
            chars -= kept.chars
            del self._jobs[id]

    def _expire(self, now: float, at: float) -> None:
        for id, (request, since) in list(self._pending.items()):
            if now - since > PENDING_SECS:
                del self._pending[id]
                why = f"no listener picked this up within {PENDING_SECS:g} s; try again"
                for program in request.programs:
                    self._jobs[id].add(Report(id, program, Refused.kind, {"why": why}, at))
                self._jobs[id].end(now)


def _merge(kept: dict[str, dict[str, str]], said: Mapping[str, Mapping[str, str | None]]) -> int:
    """Take what is said of programs' parts, None: no more; by how many characters that is more."""
    more = 0
    for program, parts in said.items():
        own = kept.setdefault(program, {})
        for part, text in parts.items():
            more += len(text or "") - len(own.get(part, ""))
            if text is None:
                own.pop(part, None)
            else:
                own[part] = text
        if not own:
            del kept[program]
    return more
