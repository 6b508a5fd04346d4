"""After READY is acknowledged: report request counts and repeat the check while a rollout bakes.

While the fresh workers of a rollout bake, all of an arbiter's workers tell at their heartbeats
what they have answered, and a fresh one repeats its health check. That there is something to
watch they know from the page that they share with their arbiter: the fresh worker that is
told so by the listener writes it there. And ``recycling`` looks whether the worker is past a limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.health.check import Check, passed
from supervisor_roll.hooks.health.checker import Checker
from supervisor_roll.hooks.health.request_counts import RequestCounter
from supervisor_roll.hooks.safely import safely
from supervisor_roll.hooks.worker.recycling import Recycling
from supervisor_roll.hooks.worker.reporter import WorkerReporter
from supervisor_roll.wire.messages import Counted, Measured, Unready

EVERY_SECS = 1.0
# One failed check may be a hiccup. As many in a row are not.
FAILED_CHECKS = 2


class BakeWatch:
    """What is left of us in a worker once its ready is acknowledged."""

    def __init__(
        self,
        reporter: WorkerReporter,
        checker: Checker | None,
        check: Check | None,
        recycling: Recycling,
        secs: float,
    ) -> None:
        now = time.monotonic()
        self._reporter, self._checker, self._check = reporter, checker, check
        self._recycling = recycling
        self._next_at = now + EVERY_SECS
        self._checked_until = now + secs
        self._failed = 0
        self._counts = False
        self._counter = RequestCounter()
        self._asked = False  # the count was said, and no answer has come yet
        self._channel = Channel(patience_secs=0)  # a serving worker waits for nothing
        if secs:
            reporter.arbiter.watched_until = now + secs

    def wrapped(self, original: Callable[[], None]) -> Callable[[], None]:
        """Wrap the worker's ``notify``: from now on it also looks at the clock."""

        def notify() -> None:
            original()
            if time.monotonic() >= self._next_at:
                safely(self.look)

        return notify

    def look(self) -> None:
        now = time.monotonic()
        self._next_at = now + EVERY_SECS
        reporter, checker, check = self._reporter, self._checker, self._check
        if self._asked or reporter.arbiter.count_is_due(now):
            self._say_count()
        if not reporter.leaving:
            safely(self._recycling.look, now)
        if now >= reporter.arbiter.watched_until or reporter.leaving:
            if checker is not None and self._counts:
                checker.count(None)
            self._counts = False
            return
        counter = self._counter
        if checker is not None and not self._counts:
            checker.count(counter)
        self._counts = True
        reporter.tell(Measured, requests=counter.requests, errors=counter.errors)
        if checker is not None:
            checker.later(EVERY_SECS, lambda: safely(self.look))
        if (
            checker is not None
            and check is not None
            and not checker.busy
            and now < self._checked_until
        ):
            checker.start(check, self._checked)

    def _say_count(self) -> None:
        """Say how many workers the arbiter wants, or take the answer from when that was said."""
        answer = self._channel.ask(self._reporter.message(Counted))
        self._asked = answer is None and not self._asked
        if answer is not None:
            self._reporter.count_heard(answer)

    def _checked(self) -> None:
        status = self._checker.status if self._checker is not None else ""
        self._failed = 0 if passed(status) else self._failed + 1
        if self._failed == FAILED_CHECKS:
            self._reporter.tell(Unready, status=status)
