"""Preflights: supervisord starts one, and the listener sees to it that it ends.

A preflight is a successor that loads the application and ends, before any worker is touched.
It costs the listener nothing to wait: supervisord's event says that it has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.arbiters.registry import ArbiterRegistry
from supervisor_roll.listener.edges.supervisord import Refused, Supervisord, Unreachable
from supervisor_roll.listener.rollouts.active import INTENDED
from supervisor_roll.listener.rollouts.preflight_output import explained
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.wire.successor import preflight_of

# What one that was asked where it hangs has to say so.
LAST_WORDS_SECS = 1.0


@dataclass
class _Preflight:
    """``pid`` is 0 while an earlier one is still being stopped; ``late``: it was asked to end."""

    changed: bool
    timeout_secs: float
    began: float
    deadline: float
    pid: int = 0
    late: bool = False


class Preflights:
    """One for a program at the most, by its namespec. ``clock`` is monotonic."""

    def __init__(
        self, supervisord: Supervisord, registry: ArbiterRegistry, clock: Callable[[], float]
    ) -> None:
        self._supervisord, self._registry, self._clock = supervisord, registry, clock
        self._running: dict[str, _Preflight] = {}
        self._unwanted: set[str] = set()

    def start(self, namespec: str, timeout_secs: float, changed: bool = False) -> None:
        """Begin; ``changed``: from the configuration that was last reread. Raises NotPossible."""
        now = self._clock()
        one = _Preflight(changed, timeout_secs, now, now + timeout_secs)
        self._start(namespec, one)
        self._running[namespec] = one
        self._unwanted.discard(namespec)  # supervisord has been asked to end that one

    def runs(self, namespec: str) -> bool:
        return namespec in self._running

    def drop(self, namespec: str) -> None:
        """End the program's preflight, if there is one. Its result is of no use any more."""
        if self._running.pop(namespec, None) is not None:
            self._unwanted.add(namespec)

    def poll(self) -> list[tuple[str, Result]]:
        """Return those that have ended since, with how. Raises SupervisordError."""
        for namespec in list(self._unwanted):
            try:
                self._supervisord.stop_preflight(namespec)
            except Refused:
                pass  # its program is gone, and so is it
            self._unwanted.discard(namespec)
        results = [(name, self._look(name, one)) for name, one in self._running.items()]
        ended = [(name, result) for name, result in results if result is not None]
        for name, _ in ended:  # none before all have been looked at, which may fail
            del self._running[name]
        return ended

    def next_deadline(self) -> float | None:
        if self._unwanted:
            return self._clock()
        return min((one.deadline for one in self._running.values()), default=None)

    def _start(self, namespec: str, one: _Preflight) -> None:
        try:
            found = self._supervisord.start_preflight(namespec, one.timeout_secs, one.changed)
        except Refused as fault:
            if fault.code == Faults.ALREADY_STARTED:
                return  # an earlier one's, which is being stopped
            if fault.code == Faults.UNKNOWN_METHOD:
                why = "supervisord runs an earlier version of supervisor_roll: restart it once"
                raise NotPossible(why) from fault
            raise NotPossible(fault.text.removeprefix(f"{namespec}: ")) from fault
        except Unreachable as error:
            raise NotPossible(str(error)) from error
        finally:
            self._registry.stale()
        one.pid, one.began = found.pid, self._clock()
        one.deadline = one.began + one.timeout_secs

    def _look(self, namespec: str, one: _Preflight) -> Result | None:
        """Return how it has ended; None if it has not. Raises SupervisordError."""
        now, states = self._clock(), self._registry.states()
        # There are none where supervisord shuts down, and ends them all.
        if now < one.deadline and (not states or preflight_of(namespec) in states):
            if states.get(namespec) not in INTENDED:
                return None
            self._unwanted.add(namespec)
            return Result(False, now - one.began, "its program has been stopped meanwhile")
        if not one.pid:
            if now >= one.deadline:
                return Result(False, now - one.began, "its last one could not be ended")
            try:
                self._start(namespec, one)
            except NotPossible as error:
                return Result(False, now - one.began, str(error))
            return None
        try:
            found = self._supervisord.preflight(namespec)
        except Refused as fault:
            return Result(False, now - one.began, fault.text)
        if found.pid != one.pid:
            return Result(False, now - one.began, "its program has been removed meanwhile")
        if found.runs:
            self._registry.stale()
            if now >= one.deadline:
                self._end(namespec, one)
            return None
        text = explained(found.tail, found.exit_code, one.timeout_secs if one.late else None)
        return Result(not text, now - one.began, text, found.tail)

    def _end(self, namespec: str, one: _Preflight) -> None:
        """Have one that is late write where it hangs, as Python does at ABRT; then end it."""
        try:
            if one.late:
                self._supervisord.stop_preflight(namespec)
            else:
                self._supervisord.signal(preflight_of(namespec), "ABRT")
        except Refused:
            pass  # it has ended just now
        one.late, one.deadline = True, self._clock() + LAST_WORDS_SECS
