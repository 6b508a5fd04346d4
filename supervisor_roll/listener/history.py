"""What rollhistory shows: each rollout that has ended, with all that was reported of it.

It is written when there is nothing else to do, and whatever goes wrong with its file costs no
rollout anything: it is tried again with the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from supervisor_roll.listener.arbiters.arbiter import cut
from supervisor_roll.listener.configuration.sections import names_of
from supervisor_roll.listener.edges.history_file import (
    MOST_CHARS_OF_ONE,
    Entry,
    HistoryFile,
    Unusable,
)
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.edges.supervisord import Supervisord, SupervisordError
from supervisor_roll.listener.rollouts.active import ActiveRollouts, Ended
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.reports import (
    Arrived,
    Began,
    Outcome,
    Past,
    Refused,
    Replaced,
    Warned,
)
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json
from supervisor_roll.wire.mailbox import Report, Reports, Request

# So many are shown at once, and so much of each one's reason.
SHOWN, MOST_SHOWN, MAX_WHY = 50, 1000, 1000
# What waits for a file that cannot be written: the oldest are given up.
MAX_WAITING = 100
# supervisord keeps 2000 reports of a job: of the one that asks for a rollout, all of this is.
MAX_REPORTS, MAX_LIVES = 1400, 500


class History:
    """``path``: its file; empty: there is none."""

    def __init__(self, path: str, active: ActiveRollouts, supervisord: Supervisord) -> None:
        self._file = HistoryFile(path) if path else None
        self._active, self._outbox, self._supervisord = active, active.outbox, supervisord
        self._told: dict[tuple[str, str], list[Report]] = {}  # by job and program
        self._waiting: list[Entry] = []
        self._asked: list[Request] = []
        self._unusable = Seldom()
        self._heard = False  # something was reported since the last look

    def reported(self, reports: Iterable[Report]) -> None:
        """Take note of what supervisord was told."""
        for report in reports if self._file else ():
            self._heard = True
            told = self._told.setdefault((report.job, report.program), [])
            if len(told) < MAX_REPORTS:
                told.append(report)

    def asked(self, request: Request) -> None:
        self._asked.append(request)

    def tick(self) -> bool:
        """Write what has ended, and answer what was asked for; whether something is to be said."""
        ended, self._active.past = self._active.past, []
        self._waiting += [self._entry(one) for one in ended if self._file and _is_kept(one)]
        if self._heard:
            self._heard = False
            runs = self._active.runs.values()
            under_way = {(run.job.id, run.namespec) for run in runs}
            self._told = {key: told for key, told in self._told.items() if key in under_way}
        if ended or self._asked:
            self._write()
        asked, self._asked = self._asked, []
        for request in asked:
            self._outbox.reports += self.answers(request)
            self._outbox.done.append(request.id)
        return bool(asked)

    def _write(self) -> None:
        if self._file is None or not self._waiting:
            return
        try:
            self._file.add(self._waiting)
            self._waiting = []
        except Unusable as error:
            self._unusable.warn("the history of rollouts is not kept: %s", error)
            del self._waiting[:-MAX_WAITING]

    def _entry(self, ended: Ended) -> Entry:
        run, facts = ended.run, ended.facts
        told = self._told.get((run.job.id, run.namespec), [])
        if run.rollout is not None and not any(one.kind == Began.kind for one in told):
            told = self._of_mailbox(run.job.id, run.namespec) or told
        known = [one.content for one in told]
        boots = sorted(one.boot_secs for one in known if isinstance(one, Replaced | Arrived))
        outcome = facts if isinstance(facts, Outcome) else Outcome()
        past = Past(
            job=run.job.id,
            by=run.job.by,
            recycling=bool(run.job.recycles),
            strategy=run.rollout.strategy if run.rollout else "",
            verdict=facts.kind,
            why=cut(getattr(facts, "why", ""), MAX_WHY),
            began=run.since,
            secs=outcome.secs,
            replaced=outcome.replaced,
            total=outcome.total,
            boot_p50_secs=boots[(len(boots) - 1) // 2] if boots else 0.0,
            boot_max_secs=max(boots, default=0.0),
            release_before=run.release,
            release_after=self._active.release_of(run.namespec, outcome.fresh),
        )
        lives = self._active.lives(run.namespec, run) if run.rollout else []
        wall = self._outbox.wall()
        rows = [Report(past.job, run.namespec, one.kind, vars(one), wall) for one in lives]
        rows = _last(rows[-MAX_LIVES:], MOST_CHARS_OF_ONE // 4)
        kept = [*_last(told, MOST_CHARS_OF_ONE // 2 - len(to_json(Reports(rows)))), *rows]
        return Entry(run.namespec, to_json(past), to_json(Reports(kept)), past.recycling)

    def _of_mailbox(self, job: str, namespec: str) -> list[Report]:
        """Return what an earlier listener has reported too."""
        found: list[Report] = []
        since = 0
        try:
            while reports := self._supervisord.reports(job, since).reports:
                found += [one for one in reports if one.program == namespec]
                since = reports[-1].seq
        except SupervisordError:
            pass  # it no longer knows the job
        return found[-MAX_REPORTS:]

    def answers(self, request: Request) -> list[Report]:
        """Return what is kept of the programs that are named, or of the one rollout."""

        def report(facts: Warned | Refused) -> list[Report]:
            return [Report(request.id, "", facts.kind, vars(facts), self._outbox.wall())]

        if self._file is None:
            return report(Refused("no history is kept: see history= of [rpcinterface:roll]"))
        waiting = len(self._waiting)
        late = report(Warned(f"{waiting} that could not be written are missing")) if waiting else []
        try:
            id = request.programs[0]
            found = self._one(request) if wire.is_number(id) else self._some(request)
        except (Unusable, BadMessage) as error:
            return [*late, *report(Refused(f"it cannot be read: {error}"))]
        return [*late, *found]

    def _some(self, request: Request) -> list[Report]:
        """Return the last ones of these programs, the oldest first."""
        assert self._file is not None
        found: list[Report] = []
        for id, program, text in self._file.all():
            if {"all", *names_of(program)} & {*request.programs}:
                found.append(_shown(request.id, id, program, text))
                if len(found) == min(request.last or SHOWN, MOST_SHOWN):
                    break
        return found[::-1]

    def _one(self, request: Request) -> list[Report]:
        """Return a rollout, and all that was reported of it."""
        assert self._file is not None
        id = int(request.programs[0])
        entry = self._file.one(id)
        if entry is None:
            return []
        reports = from_json(Reports, entry.reports).reports
        again = [replace(one, job=request.id) for one in reports]
        return [_shown(request.id, id, entry.program, entry.past), *again]


def _last(told: list[Report], most_chars: int) -> list[Report]:
    """Return as many of these as have room: their end says more than their beginning."""
    while len(to_json(told)) > most_chars:
        told = told[(len(told) + 1) // 2 :]
    return told


def _is_kept(ended: Ended) -> bool:
    return isinstance(ended.facts, Outcome | Refused) and not ended.run.job.dry_run


def _shown(job: str, id: int, program: str, text: str) -> Report:
    past = from_json(Past, text)
    return Report(job, program, Past.kind, vars(replace(past, id=id)), past.began)
