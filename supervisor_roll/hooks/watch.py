"""The acknowledged worker: it runs as if we were not there, unless a rollout watches.

While the fresh workers of a rollout bake, all of an arbiter's workers tell at their heartbeats
what they have answered, and a fresh one repeats its health check. That there is something to
watch they know from the page that they share with their arbiter: the fresh worker that is
told so by the listener writes it there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor_roll.hooks.counters import Tally
from supervisor_roll.hooks.guest import quietly
from supervisor_roll.hooks.health import passed
from supervisor_roll.wire.datagram import MEASURED, UNREADY

if TYPE_CHECKING:
    from supervisor_roll.hooks.worker import Voice

EVERY_SECS = 1.0
# One failed check may be a hiccup. As many in a row are not.
FAILED_CHECKS = 2


class Watch:
    """What is left of a worker's voice once its ready is acknowledged."""

    def __init__(self, voice: Voice, secs: float) -> None:
        now = time.monotonic()
        self._voice = voice
        self._next_at = now + EVERY_SECS
        self._checked_until = now + secs
        self._failed = 0
        self._counts = False
        self._tally = Tally()
        if secs:
            voice.arbiter.watch_until(now + secs)

    def wrapped(self, original: Callable[[], None]) -> Callable[[], None]:
        """The worker's ``notify`` from now on: ``original``, and a look at the clock."""

        def notify() -> None:
            original()
            if time.monotonic() >= self._next_at:
                quietly(self.look)

        return notify

    def look(self) -> None:
        now = time.monotonic()
        self._next_at = now + EVERY_SECS
        voice = self._voice
        checker, check = voice.checker, voice.check
        if now >= voice.arbiter.watched_until or voice.leaving:
            if checker is not None and self._counts:
                checker.count(None)
            self._counts = False
            return
        tally = self._tally
        if checker is not None and not self._counts:
            checker.count(tally)
        self._counts = True
        voice.channel.tell(
            voice.message(MEASURED, REQUESTS=str(tally.requests), ERRORS=str(tally.errors))
        )
        if checker is not None:
            checker.later(EVERY_SECS, lambda: quietly(self.look))
        if (
            checker is not None
            and check is not None
            and not checker.busy
            and now < self._checked_until
        ):
            checker.start(check, self._checked)

    def _checked(self) -> None:
        checker = self._voice.checker
        status = checker.status if checker is not None else ""
        self._failed = 0 if passed(status) else self._failed + 1
        if self._failed == FAILED_CHECKS:
            self._voice.channel.tell(self._voice.message(UNREADY, STATUS=status))
