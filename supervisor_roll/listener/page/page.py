"""Renders what the page waits for, and anew what is watched. If nobody looks, nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from supervisor_roll.listener.edges.supervisord import SupervisordError
from supervisor_roll.listener.exchanges import Exchanges
from supervisor_roll.listener.history import History
from supervisor_roll.listener.page import rendering
from supervisor_roll.listener.page.metrics import metrics_text
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.watching import Lives
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import MAX_DOCUMENT_CHARS, METRICS, STATUS, Status

log = logging.getLogger("supervisor_roll")

# What is watched is rendered so often at most where something has happened, and so often anyhow.
LEAST_SECS, MOST_SECS = 0.25, 2.0
# supervisord does nothing else while it takes them: so many at once, and of more as many a second.
CHARS_A_SEC = 256 * 1024
# Who watches has supervisord say so from time to time; after so long the listener asks.
ASK_SECS = 6.0
RETRY_SECS = 1.0
_FAILED = {STATUS: '"programs": []', METRICS: "# see the listener's log\n"}


class Page:
    """Of all programs, by what the parts that are passed in know."""

    def __init__(
        self,
        exchanges: Exchanges,
        active: ActiveRollouts,
        statuses: Mapping[str, Status],
        history: History,
        clock: Callable[[], float],
    ) -> None:
        """Take the parts; ``statuses`` have the last end of each program."""
        self._exchanges, self._active, self._history = exchanges, active, history
        self._statuses, self._lives = statuses, Lives(active, statuses)
        self._clock = clock
        self._status = ""  # as it was told last
        self._looked_at = self._measured_at = float("-inf")
        self._told_at = self._due = float("-inf")  # before that nothing is told
        self._again = False  # something may have changed just after the last look

    def next_deadline(self) -> float | None:
        if self._exchanges.documents:
            return self._due
        if not self._exchanges.page_watched:
            return None
        return self._due if self._again else self._looked_at + MOST_SECS

    def tick(self) -> None:
        """Render what is due; something may have happened."""
        now, names = self._clock(), self._exchanges.documents
        watched = self._exchanges.page_watched
        if not names and not watched:
            self._status = ""
            return
        self._again = now < self._due
        if self._again:
            return
        rendered, room = dict[str, str](), MAX_DOCUMENT_CHARS
        for name in sorted({*names, STATUS} if watched else names, key=lambda one: one != STATUS):
            text = self._looked(now) if name == STATUS else self._rendered(name)
            if name == STATUS and name not in names and text == self._status:
                continue
            room -= len(text)
            if room < 0 and rendered:
                break  # the rest has its turn
            rendered[name] = text
        if rendered or now > self._told_at + ASK_SECS:
            self._tell(rendered, now)

    def _tell(self, rendered: dict[str, str], now: float) -> None:
        self._status = rendered.get(STATUS, self._status)
        texts = dict(rendered)
        if STATUS in texts:
            at = to_json(self._active.outbox.wall())
            texts[STATUS] = f'{{"at": {at}, {texts[STATUS]}}}'
        secs = sum(map(len, texts.values())) / CHARS_A_SEC
        self._told_at, self._due = now, now + max(LEAST_SECS, secs)
        try:
            self._exchanges.show_page(texts)
        except SupervisordError as error:
            log.info("the page is not shown anything: %s", error)
            self._status, self._due = "", now + RETRY_SECS

    def _looked(self, now: float) -> str:
        if now >= self._measured_at + MOST_SECS:
            self._measured_at = now
            self._lives.measure()
        self._looked_at = now
        return self._rendered(STATUS)

    def _rendered(self, name: str) -> str:
        """Return a document; whatever goes wrong with one costs no rollout anything."""
        try:
            if name == STATUS:
                return rendering.status_text(
                    self._shown(),
                    self._lives,
                    self._lives.resists,
                    self._active.registry.states_if_told(),
                    self._exchanges.trouble,
                )
            if name == METRICS:
                self._lives.measure()
                arbiters = self._active.registry.arbiters.values()
                hooks = {one.namespec: one.facts.hooks for one in arbiters if not one.successor}
                return metrics_text(self._shown(), self._lives, self._active.tallies, hooks)
            return rendering.history_text(self._history, name.partition("/")[2] or "all")
        except Exception:
            log.exception("%s cannot be shown", name)
            return _FAILED.get(name, "{}")

    def _shown(self) -> dict[str, Status]:
        arbiters = self._active.registry.arbiters.values()
        names = {*self._statuses, *self._active.runs, *(one.namespec for one in arbiters)}
        return rendering.statuses(arbiters, self._exchanges.overview(names))
