"""What the listener and supervisord tell each other: of all that is known, what has changed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from supervisor_roll import __version__
from supervisor_roll.listener.edges.supervisord import Supervisord, SupervisordError, Unreachable
from supervisor_roll.listener.history import History
from supervisor_roll.listener.in_service.drains import Drains
from supervisor_roll.listener.recycling.recycler import Recycler
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.jobs import Jobs
from supervisor_roll.listener.rollouts.status import overview
from supervisor_roll.listener.saved_state import SavedState
from supervisor_roll.listener.told import Told
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.run import ROLLING
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.mailbox import (
    MAX_STATUSES_CHARS,
    Delivery,
    Exchange,
    Request,
    Status,
    exchanged,
)
from supervisor_roll.wire.workers import MAX_WORKERS_CHARS

log = logging.getLogger("supervisor_roll")

# So long a status may wait for the next exchange: a rollout makes many.
SHOW_SECS = 0.1


class Exchanges:
    """Empties the outbox into supervisord's mailbox, but for what the listener does itself."""

    def __init__(
        self,
        pid: int,
        supervisord: Supervisord,
        saved: SavedState,
        active: ActiveRollouts,
        jobs: Jobs,
        recycler: Recycler,
        history: History,
        drains: Drains,
    ) -> None:
        self.trouble = ""  # what is wrong with the listener itself
        self._pid, self._supervisord, self._saved = pid, supervisord, saved
        self._active, self._jobs, self._outbox = active, jobs, active.outbox
        self._recycler, self._history, self._drains = recycler, history, drains
        self.watched = False  # somebody wants to see the workers
        self.page_watched = False  # or looks at the page
        self.documents: set[str] = set()  # what the page waits for
        self.changed: set[str] = set()  # of these programs, since they were shown
        self._unshown: set[str] = set()  # programs whose status an exchange was sent without
        self._show_at: float | None = None
        self._whole = True  # all is to be told
        self._forget()

    def next_deadline(self) -> float | None:
        """When what was left out is to be shown, if nothing was said before."""
        return self._show_at

    def hello(self) -> Delivery:
        """Say the first word, and learn what an earlier listener left. Raises SupervisordError."""
        return self._call(Exchange(self._pid, hello=True, package_version=__version__))

    def make(self) -> list[Request]:
        """Save and show what has changed, have signals sent, and return the requests that wait.

        Raises SupervisordError: then all of it is told again, by the next one.
        """
        outbox = self._outbox
        while (portion := outbox.portion) < len(outbox.reports):
            # What they tell of is saved with the last of them, so that none is lost.
            self._call(Exchange(self._pid, reports=outbox.reports[:portion], trouble=self.trouble))
            self._history.reported(outbox.reports[:portion])
            del outbox.reports[:portion]
        programs = self._saved.programs if self._whole else self._changed()
        self.changed |= programs
        # A signal waits for what must be known before it, and not for what is only looked at.
        brief = bool(outbox.signals) and not self._whole
        shown = set[str]() if brief else programs | self._unshown
        delivery = self._call(
            Exchange(
                self._pid,
                whole=self._whole,
                state=self._saved.changes(programs) if programs else {},
                statuses=self._statuses(shown),
                signals=outbox.signals,
                reports=outbox.reports,
                fetched=outbox.fetched,
                done=outbox.done,
                trouble=self.trouble,
            )
        )
        self._history.reported(outbox.reports)
        outbox.reports, outbox.fetched, outbox.done, outbox.signals = [], [], [], []
        outbox.unsaved.clear()
        self._whole = False
        self._unshown = self._unshown | programs if brief else set()
        self._show_at = self._active.clock() + SHOW_SECS if brief else None
        for text in delivery.unsent:
            log.warning("%s", text)
        return delivery.requests

    def show(self, workers: Mapping[str, Mapping[str, WorkerLife | str]]) -> None:
        """Tell who watches of these programs' workers, by pid. Raises SupervisordError."""
        parts = self._seen.changes(workers)
        self._call(Exchange(self._pid, workers=parts, trouble=self.trouble))

    def show_page(self, documents: dict[str, str]) -> None:
        """Hand in what was rendered for the page. Raises SupervisordError."""
        self.documents -= documents.keys()  # whoever asks from now on asks anew
        try:
            self._call(Exchange(self._pid, documents=documents, trouble=self.trouble))
        except SupervisordError:
            self.documents |= documents.keys()
            raise

    def _changed(self) -> set[str]:
        """Return the programs of which something may have changed."""
        # Before its rollout begins, a run changes without a word.
        runs = self._active.runs.values()
        return self._outbox.unsaved | {one.namespec for one in runs if one.phase != ROLLING}

    def _statuses(self, programs: Collection[str]) -> dict[str, Status | None]:
        """Return the statuses of these programs that are others than were shown."""
        shown = self.overview(programs)
        parts = {name: {"": shown[name]} if name in shown else {} for name in programs}
        changes = self._shown.changes(parts)
        return {
            name: None if change[""] is None else shown[name] for name, change in changes.items()
        }

    def overview(self, programs: Collection[str]) -> dict[str, Status]:
        """Return the statuses of these programs, as far as there is something to say of them."""
        statuses, runs = self._jobs.statuses, self._active.runs
        return overview(
            {name: statuses[name] for name in programs if name in statuses},
            {name: runs[name] for name in programs if name in runs},
            [one for name in programs for one in self._active.registry.siblings(name)],
            self._recycler.told(),
            {
                name: (one.by, one.since)
                for name, one in self._drains.drained.items()
                if name in programs
            },
            self._outbox.wall(),
        )

    def _call(self, exchange: Exchange) -> Delivery:
        try:
            delivery = from_json(Delivery, self._supervisord.exchange(exchanged(exchange)))
        except SupervisordError:
            self._forget()
            raise
        except BadMessage as error:
            self._forget()
            raise Unreachable(f"supervisord answered what cannot be read: {error}") from error
        self.watched, self.page_watched = delivery.watched, delivery.page_watched
        self.documents |= {*delivery.documents}
        if not self.watched or exchange.whole:
            self._forget_watched()
            self.changed = set()
        return delivery

    def _forget(self) -> None:
        """Tell it all again: what came of the last word is not known."""
        self._whole, self._shown = True, Told(MAX_STATUSES_CHARS)
        self._forget_watched()
        self._saved.forget()

    def _forget_watched(self) -> None:
        self._seen = Told(MAX_WORKERS_CHARS, flat={WorkerLife: vars})
