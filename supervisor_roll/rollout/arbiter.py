"""Strategy ``arbiter``: a new arbiter with all its workers beside the one that serves.

The *successor* starts with as many workers as the budget leaves room for: all of them where
two full sets may run, else fewer, and then it grows (``AddInstance``) as the old arbiter shrinks
(``RemoveOldest``), by no more than are available for it. An arbiter cannot have fewer than
one worker, so with ``max_surge=0`` the last step takes one more than that.

It is to have as many workers as the old arbiter (``goal``), unless its configuration has another
number of them than the old one's had.

When all of the successor's workers are available it is promoted, which is the point of no
return: it has the program's name, and the old arbiter drains. Until then whatever fails, or
an abort, discards the successor; if the old arbiter had shrunk, it grows back first, while
the successor's workers still serve. The promise: where the old arbiter cannot boot its workers
again, a successor whose workers serve in their place is kept beside it. The old one is asked again
each ``ready_timeout_secs``, until the release or its configuration is repaired. Who wants the
end at any price aborts the rollout once more.

A signal is repeated where neither the arbiter's word nor its workers show that it was heard.
"""

from __future__ import annotations

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import Action, InstanceId
from supervisor_roll.rollout.instances import RETIRE, STOP
from supervisor_roll.rollout.machine import (
    CONFIRM_SECS,
    REPEATS,
)
from supervisor_roll.rollout.reports import Note
from supervisor_roll.rollout.succession import (
    DISCARD,
    PROMOTE,
    SIGNALS,
    START,
    Succession,
    signal_of,
)
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED, PROGRESSING

# How long an arbiter that halts may take until it is gone.
HALT_SECS = 2.0


class ArbiterRollout(Succession):
    """One replacement of an arbiter with all its workers."""

    def _plan(self) -> list[Action]:
        self._deadlines = []
        self._mark_available()
        actions = self._arrived()
        if self._asked == DISCARD:
            self._leave_behind()
        if not self.promoted:  # from then on supervisord sees to it, within stopwaitsecs
            actions += self._escalate_stops()
        if self._signal is not None:
            actions += self._look(self._signal[1], successor=SIGNALS[self._signal[0]][0])
        if self.promoted:
            return actions + (self._end(COMPLETE) if self.old_gone else [])
        if self.wanted == COMPLETE:
            actions += self._check_deadlines()
        return actions + (self._roll() if self.wanted == COMPLETE else self._wind_down())

    def _observed(self, event: ev.Observed) -> list[Action]:
        kind, sent_at, whom = self._signal or ("", 0.0, None)
        successor, more = SIGNALS.get(kind, (None, False))
        running = self._meet_unheard(event, event.successor, int(event.successor and more))
        if successor is not event.successor:
            return []
        count = self.successor_count if successor else self.count
        if running > count if more else (whom not in event.workers and running < count):
            return self._counted(ev.Counted(running if more else count - 1, successor))
        late = self.now >= sent_at + CONFIRM_SECS
        return self._unconfirmed(kind, more, successor, whom) if late else []

    def _unconfirmed(
        self, kind: str, more: bool, successor: bool, whom: InstanceId | None
    ) -> list[Action]:
        """A signal has had no effect that is to be seen: repeat it, some times."""
        one = self.instances.get(whom) if whom is not None else None
        self._signal = None
        leaves = one is not None and one.asked and self._lingers(one)
        if self._repeats < REPEATS or leaves:
            self._repeats += 1
            if not more and one is None:
                return []  # it was replaced, so the signal was not heard: there will be another
            # To ask the very one that was to go is the same whether the signal was heard or not.
            return [
                self._send(
                    kind,
                    ev.AddInstance(successor) if one is None else ev.StopInstance(one.id),
                    whom,
                )
            ]
        if one is not None:
            one.asked = ""  # should it go all the same, that will be seen
        self._repeats = 0
        text = f"an arbiter did not react to {kind} within {CONFIRM_SECS:g} s"
        if self.wanted == COMPLETE:
            return self._turn(FAILED, text)
        self._unrecoverable_why = self._unrecoverable_why or text
        return []

    def _check_deadlines(self) -> list[Action]:
        limit = self.settings.ready_timeout_secs
        if self._crashed_worker is not None and self._due(self._crashed_worker[0] + HALT_SECS):
            return self._turn(FAILED, self._crashed_worker[2], self._crashed_worker[1])
        late = self._overdue(self.instances.fresh)
        if late:
            return late
        if self.successor is None or len(self.instances.fresh) >= self.successor_count:
            self._unmet_since = None
        elif self._unmet_since is None:
            self._unmet_since = self.now
        if self._unmet_since is not None and self._due(self._unmet_since + limit):
            return self._turn(
                FAILED,
                (
                    f"the successor had {len(self.instances.fresh)} of {self.successor_count} "
                    f"workers after {limit:g} s"
                ),
            )
        return []

    def _roll(self) -> list[Action]:
        if self.state != PROGRESSING or self._asked or self._signal is not None:
            return []
        if self.successor is None:
            if not self.budget.surge and self._may_shrink(self.desired - self.budget.unavailable):
                return [self._shrink()]
            self.first = self._beginning()
            return self._ask(START)
        available = len([one for one in self.instances.fresh if one.available])
        if self._crashed_worker is not None:
            return []
        if self.successor_count >= self.goal:
            return self._ask(PROMOTE) if available >= self.goal else []
        # Before it has its signal handlers, which come before its workers, TTIN would stop it.
        if not self._canaries_passed() or not self.instances.fresh:
            return []
        if self.successor_count + self.count < self._most or self.count <= 1:
            return [self._send(signal_of(True, True), ev.AddInstance(successor=True))]
        settled = available >= self.successor_count
        return [self._shrink()] if settled and self._may_shrink(1) else []

    def _may_shrink(self, least: int) -> bool:
        """Whether the old arbiter can do with one worker less, and still have ``least``."""
        if self.count <= max(least, 1) or len(self.instances.outdated) > self.count:
            return False
        oldest = self.instances.outdated[0] if self.instances.outdated else None
        if oldest is None or not oldest.loaded:
            return False
        return len(self.instances.counted) - oldest.ready >= self.floor

    def _shrink(self) -> Action:
        self._shrunk = True
        oldest = self.instances.outdated[0]
        self._mark(oldest, RETIRE)
        return self._send(signal_of(False, False), ev.RemoveOldest(), oldest.id)

    def _ask(self, what: str) -> list[Action]:
        self._asked = what
        if what == DISCARD:
            self._leave_behind()
        return self.again()

    def _leave_behind(self) -> None:
        """Wait for none of a discarded successor's workers that hangs in its boot.

        It would hold up its arbiter's end for graceful_timeout. It may be heard of only now.
        """
        for one in self.instances.fresh:
            if not one.ready:
                self._mark(one, STOP)

    def _wind_down(self) -> list[Action]:
        """Give the old arbiter back what it had, then discard the successor, then end."""
        if self._signal is not None or self._asked in (PROMOTE, START):
            return []
        turned_at = self.began if self._turned_at is None else self._turned_at
        if self._due(turned_at + 2 * self.settings.ready_timeout_secs):
            self._unrecoverable_why = (
                self._unrecoverable_why or "its workers were not ready in time"
            )
        if self._is_needed():
            if self._unrecoverable_why:
                return self._keep()
        else:
            self._kept_since = None
        short = self.count < self.desired
        outdated = self.instances.outdated
        settled = len(outdated) >= self.count and all(one.ready for one in outdated)
        if self.old_gone or self._unrecoverable_why or not self._shrunk or (not short and settled):
            return self._leave()
        if not short or self._asked:
            return []
        booting = [one for one in self.instances.fresh if not one.ready]
        # These would be replaced, and there is no end to that.
        if any(
            one.age <= self.first or (one.since > turned_at and not one.surplus) for one in booting
        ):
            return [] if self._is_needed() else self._ask(DISCARD)
        for one in booting:
            self._mark(one, STOP)
        if booting:
            return [ev.StopInstance(one.id) for one in booting]
        held = len([one for one in self.instances if one.fresh])
        if self.count + held < self.desired + max(self.budget.surge, 1):
            return [self._send(signal_of(False, True), ev.AddInstance())]
        if not settled or any(one.asked for one in self.instances if one.fresh):
            return []
        if held <= 1:
            return [] if self._is_needed() else self._ask(DISCARD)
        oldest = self.instances.fresh[0]
        self._mark(oldest, STOP)
        return [self._send(signal_of(True, False), ev.RemoveOldest(successor=True), oldest.id)]

    def _is_needed(self) -> bool:
        """Whether fewer would be ready without the successor than was promised."""
        serving = [one for one in self.instances.outdated if one.ready]
        ready = len(self.instances.ready)
        return (
            self._shrunk
            and not self.old_gone
            and not self._forced
            and self._asked != DISCARD
            and len(serving) < min(self.floor, ready)
        )

    def _keep(self) -> list[Action]:
        """Keep the successor beside the old arbiter, and try again now and then."""
        if self._kept_since is None:
            self._kept_since = self.now
            self._due(self.now + self.settings.ready_timeout_secs)
            serving = len([one for one in self.instances.fresh if one.ready])
            text = (
                f"the old arbiter does not get its workers back: {self._unrecoverable_why}; "
                f"{serving} of "
                "the successor's serve on beside it until it does: repair the release, or abort "
                "once more to stop the successor all the same"
            )
            return [Note(text)]
        if not self._due(self._kept_since + self.settings.ready_timeout_secs):
            return []
        self._kept_since = self._turned_at = self.now
        self._unrecoverable_why, self._repeats = "", 0
        return self._wind_down()

    def _leave(self) -> list[Action]:
        if self.successor is not None:
            return [] if self._asked == DISCARD else self._ask(DISCARD)
        ready = len([one for one in self.instances.outdated if one.ready])
        short = self.count < self.desired or (self._shrunk and ready < self.desired)
        if short and not self.old_gone:
            self.why += f"; the old arbiter is left with {ready} of {self.desired} workers" + (
                f": {self._unrecoverable_why}" if self._unrecoverable_why else ""
            )
        return self._end(ABORTED if self.wanted == ABORTED else FAILED)
