"""A worker that is past a limit says so, and serves on until another one has taken its place.

Gunicorn itself ends a worker at ``max_requests``, and boots another one then: for as long as a
boot takes one worker less serves. So this limit is lifted where the listener recycles. The
worker says at its heartbeats that it is *due*, and the listener has it replaced as in any rollout:
once a fresh worker is ready. The limit is put back, which ends the worker with its next
request, where no listener answers, or where the replacement does not come in time.

An arbiter retires its oldest workers. So the listener gives a worker that is due an age below
all others' (``RETIRE_AGE``), which the worker puts where its arbiter sees it (``worker_count``),
and says back as its own: only then does the listener know in which order they go.
"""

from __future__ import annotations

from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.channel import ANSWER_SECS, Channel
from supervisor_roll.hooks.worker.reporter import WorkerReporter
from supervisor_roll.hooks.worker.request_limit import RequestLimit
from supervisor_roll.wire.messages import Ack, Due

# So often a worker says it, and so long without an answer there is no listener.
SAY_SECS = 5.0
UNANSWERED_SECS = 10.0


class Recycling:
    """Of one worker, from its acknowledged ready on; ``ready`` is that acknowledgement."""

    def __init__(
        self,
        reporter: WorkerReporter,
        state: ArbiterState,
        limit: RequestLimit | None,
        ready: Ack,
    ) -> None:
        self._reporter, self._state = reporter, state
        self._limit = limit if ready.recycle else None
        self._lifetime_secs, self._grace_secs = ready.lifetime_secs, ready.grace_secs
        self._channel = Channel(patience_secs=0)  # a serving worker waits for nothing
        self._asked_at: float | None = None
        self._say_at = self._heard_at = self._granted_at = 0.0
        if self._limit is not None:
            self._limit.lift()

    def look(self, now: float) -> None:
        """Say that the worker is due, if it is; ``now`` is on the monotonic clock."""
        why, over = self._reason(now)
        if not over:
            return
        if not self._heard_at:
            self._heard_at = self._granted_at = now
        if self._asked_at is not None and now > self._asked_at + ANSWER_SECS:
            # A late answer counts for nothing: the listener relies on that.
            self._channel.close()
            self._asked_at = None
        if self._asked_at is not None or now >= self._say_at:
            self._say(why, over, now)
        if now >= min(self._heard_at + UNANSWERED_SECS, self._granted_at + self._grace_secs):
            self._give_up()

    def _reason(self, now: float) -> tuple[str, float]:
        """Why it is due, and how many times its limit it has reached: 0 if it is not."""
        # Why it was asked to go the listener knows.
        reasons = [("", 1.0)] if self._state.asked_to_retire else []
        limit, age, lifetime = self._limit, now - self._reporter.born, self._lifetime_secs
        if limit is not None and limit.answered >= limit.requests:
            text = f"{limit.answered} requests, limit {limit.requests}"
            reasons.append((text, limit.answered / limit.requests))
        if 0 < lifetime <= age:
            reasons.append((f"{age:.0f} s old, limit {lifetime:g}", age / lifetime))
        return max(reasons, key=lambda one: one[1], default=("", 0.0))

    def _say(self, why: str, over: float, now: float) -> None:
        if self._asked_at is None:
            self._asked_at = now
        answer = self._channel.ask(self._reporter.message(Due, why=why, over=round(over, 3)))
        if answer is None:
            return
        self._asked_at, self._heard_at = None, now
        self._say_at = now + SAY_SECS
        if answer.more_grace:
            self._granted_at = now
        if not answer.recycle:
            self._give_up()
        if answer.unasked:
            self._state.asked_to_retire = False
        if answer.retire_age and answer.retire_age != self._reporter.page.retire_age:
            self._reporter.page.retire_age = answer.retire_age
            self._say(why, over, now)  # at once: the next heartbeat may be a long request away

    def _give_up(self) -> None:
        """Leave it to Gunicorn, as far as that has a limit."""
        if self._limit is not None:
            self._limit.put_back()
            self._limit = None
