"""Which programs are out of service, on whose behalf, and how balancers are told.

HAProxy's agent-check asks (``agents``); the workers answer a balancer's own health check by whether
there is a file (``marker``); and HAProxy's runtime API is told, by a process beside the listener.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.in_service.answer import ready_of
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.reports import Facts, InService, OutOfService, Refused, Skipped, Undone
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.mailbox import DRAIN, Request
from supervisor_roll.wire.program import Program

log = logging.getLogger("supervisor_roll")

_MARKER = "drained."
_HAPROXY = Path(__file__).with_name("haproxy.py")
# For HAProxy's own answers, beside the wait for its sessions.
_ANSWERS_SECS = 15.0


@dataclass(frozen=True)
class Drained:
    """Since when a program is out of service, in seconds since the epoch, and who wants that."""

    by: str
    since: float


@dataclass
class _Turn:
    """What is under way for one program: a drain, or the way back. Times are on the clock."""

    request: Request
    namespec: str
    settings: Settings
    began: float
    before: Drained | None  # as what it was drained already
    until: float | None = None  # when waiting ends; None while HAProxy is being told


class Drains:
    """``drained`` is by namespec. ``folder`` is where the marker files are; empty: nowhere."""

    def __init__(
        self,
        active: ActiveRollouts,
        sides: SideProcesses,
        configuration: Callable[[], Configuration],
        folder: str,
    ) -> None:
        self._active, self._sides, self._configuration = active, sides, configuration
        self._outbox, self._clock, self._folder = active.outbox, active.clock, folder
        self._turns: dict[str, _Turn] = {}
        self._failures = Seldom()
        self.drained: dict[str, Drained] = {}

    @property
    def busy(self) -> bool:
        return bool(self._turns)

    def marker(self, namespec: str) -> str:
        """Return the path of the file that is there while the program is out of service."""
        return f"{self._folder}/{_MARKER}{quote(namespec, safe='')[:200]}" if self._folder else ""

    def restored(self) -> None:
        """Have the files say what the saved state says."""
        if not self._folder:
            return
        wanted = {self.marker(name) for name in self.drained}
        try:
            for one in Path(self._folder).glob(f"{_MARKER}*"):
                if str(one) not in wanted:
                    one.unlink()
        except OSError as error:
            self._failures.warn("%s", error)
        self._mark()

    def accept(self, request: Request) -> None:
        """Begin to take the request's programs out of service, or to put them back."""
        for namespec in request.programs:
            if request.wildcard and ready_of(self._active, namespec) is None:
                self._end(request, namespec, Skipped("no Gunicorn with the hooks"))
                continue
            if earlier := self._turns.pop(namespec, None):
                self._sides.drop(namespec)
                why = f"{request.by} asked for {request.kind} meanwhile"
                self._end(earlier.request, namespec, Undone(why))
                self._close(earlier.request)
            try:
                settings = self._configuration().settings_for(namespec)
            except (BadSetting, BadConfiguration) as error:
                self._end(request, namespec, Refused(str(error)))
                continue
            now, before = self._clock(), self.drained.get(namespec)
            turn = self._turns[namespec] = _Turn(request, namespec, settings, now, before)
            if request.kind == DRAIN:
                self.drained[namespec] = Drained(request.by, self._outbox.wall())
                self._act(turn)
            else:
                turn.until = now + settings.ready_timeout_secs
        self._close(request)

    def tick(self) -> None:
        """Go on with what waited."""
        self._mark()
        for namespec, result in self._sides.poll():
            if namespec in self._turns:
                self._told(self._turns[namespec], result)
        for turn in list(self._turns.values()):
            if turn.until is not None:
                self._wait(turn, turn.until)

    def next_deadline(self) -> float | None:
        times = [self._sides.next_deadline(), *(one.until for one in self._turns.values())]
        return min((one for one in times if one is not None), default=None)

    def _wait(self, turn: _Turn, until: float) -> None:
        late = self._clock() >= until
        if turn.request.kind == DRAIN:
            if late:
                self._finish(turn, OutOfService(self._clock() - turn.began))
            return
        ready, desired = ready_of(self._active, turn.namespec) or (0, 0)
        if ready and (ready >= desired or late):
            self.drained.pop(turn.namespec, None)
            turn.until = None
            self._act(turn)
        elif late:
            why = f"no worker was ready within {turn.settings.ready_timeout_secs:g} s"
            self._finish(turn, Undone(f"{why}: it stays out of service"))

    def _act(self, turn: _Turn) -> None:
        """Tell the balancers, once it is saved that they are to be told."""
        self._outbox.unsaved.add(turn.namespec)
        self._outbox.starts.append(partial(self._start, turn))

    def _start(self, turn: _Turn) -> None:
        if self._turns.get(turn.namespec) is not turn:
            return
        settings, drains = turn.settings, turn.request.kind == DRAIN
        self._mark()
        if not drains:
            self._unmark(turn.namespec)
        if settings.haproxy_server:
            state = "drain" if drains else "ready"
            secs = settings.rolldrain_secs
            arguments = [str(_HAPROXY), settings.haproxy_socket, settings.haproxy_server]
            line = [sys.executable, "-I", "-S", *arguments, state, f"{secs:g}"]
            alone = Program("", [], "/", {}, 0o022)
            try:
                self._sides.command(
                    turn.namespec, shlex.join(line), alone, "", secs + _ANSWERS_SECS
                )
            except NotPossible as error:
                self._told(turn, Result(False, 0.0, str(error)))
        elif drains:
            turn.until = self._clock() + settings.rolldrain_secs
        else:
            self._finish(turn, InService(self._clock() - turn.began))

    def _told(self, turn: _Turn, result: Result) -> None:
        """Go on after HAProxy was told, or could not be."""
        secs, drains = self._clock() - turn.began, turn.request.kind == DRAIN
        if not result.ok:
            if drains and turn.before is None:  # else somebody may rely on it
                self.drained.pop(turn.namespec, None)
                self._outbox.unsaved.add(turn.namespec)
                self._unmark(turn.namespec)
            self._finish(turn, Undone(result.text))
        elif drains:
            self._finish(turn, OutOfService(secs, int(result.output.split()[-1])))
        else:
            self._finish(turn, InService(secs))

    def _finish(self, turn: _Turn, facts: Facts) -> None:
        del self._turns[turn.namespec]
        self._end(turn.request, turn.namespec, facts)
        self._close(turn.request)

    def _end(self, request: Request, namespec: str, facts: Facts) -> None:
        log.info("%s: %s for %s: %s", namespec, request.kind, request.by, facts.kind)
        self._outbox.report(request.id, namespec, facts)

    def _close(self, request: Request) -> None:
        if all(one.request is not request for one in self._turns.values()):
            self._outbox.done.append(request.id)

    def _mark(self) -> None:
        """See that there is a file for each; their folder may have been made anew."""
        for namespec in self.drained if self._folder else ():
            path = Path(self.marker(namespec))
            try:
                if not path.exists():
                    path.touch(0o644)
            except OSError as error:
                self._failures.warn("a worker of %s cannot be told: %s", namespec, error)

    def _unmark(self, namespec: str) -> None:
        try:
            if self._folder:
                Path(self.marker(namespec)).unlink(missing_ok=True)
        except OSError as error:
            self._failures.warn("a worker of %s cannot be told: %s", namespec, error)
