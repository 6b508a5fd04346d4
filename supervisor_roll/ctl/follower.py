"""Following one job to its end: polls, prints, and says how each of its programs ended."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from xmlrpc.client import Fault

from supervisor.xmlrpc import Faults

from supervisor_roll.ctl.client import POLL_SECS, RollClient, Unreachable
from supervisor_roll.ctl.render import objects
from supervisor_roll.ctl.render.dry_run import plan_objects
from supervisor_roll.ctl.render.reports import report_lines
from supervisor_roll.ctl.screen import Screen
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.reports import (
    ENDS,
    Arrived,
    Began,
    Broken,
    InService,
    OutOfService,
    Plan,
    Promoted,
    Replaced,
    Skipped,
    Succeeded,
)
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.mailbox import Report

# supervisord may be too busy to be reached, and a listener may be on its way down or up.
PATIENCE_SECS = 10.0
_LOOK_SECS = 0.4


# A report of these kinds says that its program's turn has come: it is to have an outcome.
_UNDER_WAY = (Began, Replaced, Succeeded, Arrived, Promoted, Broken)


class Lost(Exception):
    """The job cannot be followed to its end; the text says why, and what to do."""


class Follower:
    """Follows jobs one after the other; ``outcomes`` has each program's last word so far.

    They are in the order in which they were asked for. What is about no program at all stands
    there under an empty name.
    """

    def __init__(
        self,
        client: RollClient,
        screen: Screen,
        patience_secs: float = PATIENCE_SECS,
        whole: bool = False,
    ) -> None:
        self._client = client
        self._screen = screen
        self._patience_secs = patience_secs
        self._whole = whole  # with all frames of tracebacks
        self._looked_at = 0.0
        self._told: dict[str, str] = {}
        self.outcomes: dict[str, str] = {}
        self.objected: set[str] = set()  # whose dry runs found what speaks against the rollout
        self._awaited = False  # there was a job that owes its programs an outcome
        self._noted = False  # the job has said something that is no program's outcome
        self._under_way: set[str] = set()
        self.interleaved = False  # several programs were under way at once

    def follow(
        self, job: str, programs: Collection[str], only: bool = False, update: bool = False
    ) -> None:
        """Until the job is done. Raises Lost, or whatever a first call raises but Unreachable.

        ``only``: say nothing of the job's other programs, and stop once these have ended.
        ``update``: the job finds out by itself which programs it rolls, and owes the others
        not a word.
        """
        before, self.outcomes, self._noted = self.outcomes, {}, False
        if not update:
            self._awaited = True
            self.outcomes = dict.fromkeys(programs, "")
        self._follow(job, programs, only)
        self._screen.close()
        for program, outcome in self.outcomes.items():
            if outcome not in ENDS:
                self._screen.say(
                    f"{program}: the listener ended this rollout without reporting"
                    " an outcome: see rollstatus and the listener's log"
                )
        if update and set(self.outcomes.values()) <= {Skipped.kind}:
            self._screen.say("nothing was rolled" if self._noted else "no changes")
        self.outcomes = {**before, **self.outcomes}

    def _follow(self, job: str, programs: Collection[str], only: bool) -> None:
        since = 0
        deaf = _Patience(self._patience_secs)
        unreachable = _Patience(self._patience_secs)
        while True:
            try:
                found = self._client.reports(job, since)
            except Fault as fault:
                if fault.faultCode != Faults.BAD_NAME:
                    raise
                raise Lost(
                    "supervisord no longer knows this rollout (it was reloaded or"
                    " restarted): see rollstatus"
                ) from None
            except Unreachable as error:
                unreachable.tried(f"cannot reach supervisord: {error}")
            else:
                unreachable.renewed()
                for report in found.reports:
                    since = max(since, report.seq)
                    if not only or report.program in programs or not report.program:
                        self._take(report)
                if found.done or (
                    only and all(self.outcomes.get(program) in ENDS for program in programs)
                ):
                    return
                self._check_listener(found.listener, deaf)
            self._look()
            self._screen.tick()
            time.sleep(POLL_SECS)

    def _look(self) -> None:
        """Have the screen show the workers, if it wants to; it is no harm if that fails."""
        names, now = self._screen.watched, time.monotonic()
        if names and now >= self._looked_at + _LOOK_SECS:
            self._looked_at = now
            with suppress(Fault, BadMessage, *Unreachable):
                self._screen.workers = self._client.workers(names)

    @property
    def succeeded(self) -> bool:
        """Whether every program that was not skipped is complete, and at least one is.

        Of an update: also if there was nothing to do. Of a dry run: whether nothing was found
        that speaks against the rollout.
        """
        kinds = set(self.outcomes.values()) - {Skipped.kind}
        if not kinds:
            return not self._awaited
        good = ({COMPLETE}, {Plan.kind}, {OutOfService.kind}, {InService.kind})
        return kinds in good and not self.objected

    def _take(self, report: Report) -> None:
        if report.kind in ENDS:
            self._screen.follow(report)
        lines = report_lines(report, self._told.get(report.program, ""), self._whole)
        self._screen.tell(lines, objects.report(report), at=report.at)
        facts = report.content
        if isinstance(facts, Plan) and plan_objects(facts):
            self.objected.add(report.program)
        if isinstance(facts, Broken):
            self._told[report.program] = facts.why
        if report.kind not in ENDS:
            self._screen.follow(report)
        if report.kind in ENDS:
            self.outcomes[report.program] = report.kind
            self._under_way.discard(report.program)
        elif isinstance(facts, _UNDER_WAY):
            self.outcomes.setdefault(report.program, "")
            self._under_way.add(report.program)
            self.interleaved |= len(self._under_way) > 1
        else:
            self._noted = True

    def _check_listener(self, state: str, deaf: _Patience) -> None:
        if state in wire.LISTENING:
            deaf.renewed()
        else:
            deaf.tried(
                f"the listener is {state or 'no longer configured'}, so this rollout"
                " is on hold; what serves keeps serving. The listener carries on once it runs"
                " again: follow with `rollstatus --follow`"
            )


class _Patience:
    """Endures one trouble for ``secs``, then raises Lost."""

    def __init__(self, secs: float) -> None:
        self._secs = secs
        self._since: float | None = None

    def renewed(self) -> None:
        self._since = None

    def tried(self, trouble: str) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since >= self._secs:
            raise Lost(trouble)
