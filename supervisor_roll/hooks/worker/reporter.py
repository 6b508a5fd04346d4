"""What a worker reports to the listener, and how."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from supervisor_roll.hooks import places
from supervisor_roll.hooks.arbiter import heritage
from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.safely import safely
from supervisor_roll.hooks.shared_memory import WorkerPage, page_of
from supervisor_roll.wire.messages import Ack, Booting, Describing, FromWorker
from supervisor_roll.wire.places import encode

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Worker

# For how long a worker waits for the listener that is one more than the program needs: a slow
# listener, on a busy machine, must not let it serve unchecked. From its application on.
SPARE_PATIENCE_SECS = 10.0

_Kind = TypeVar("_Kind", bound=FromWorker)


class WorkerReporter:
    """Reports of one worker, from its fork on. To be made before the worker loads anything."""

    def __init__(self, server: Arbiter, worker: Worker) -> None:
        self.worker = worker
        self.born = time.monotonic()
        state = self.state = ArbiterState.of(server)
        self.arbiter = state.page
        page = page_of(worker)
        if page is None:  # pre_fork is not installed
            page = WorkerPage()
            heritage.prepare(server, worker)
        self.page = page
        self.channel = Channel(line=state.line)
        self.facts: dict[str, Any] = {"runs": state.runs}
        takeover = state.takeover
        self._beside = takeover is not None and not takeover.is_gone()
        self._here = state.here
        if self._here is None:
            safely(self._follow)

    def _follow(self) -> None:
        self._here = places.follow(self.worker, self.state.places)
        self.facts["runs"] = encode([self._here])

    def note_places(self) -> None:
        """Have the next messages say where the worker runs from, as far as it has loaded."""
        if self._here is not None:
            found = places.of_worker(self.worker, self._here, self.state.import_path)
            self.facts["runs"] = encode(found)

    def message(self, kind: type[_Kind], **fields: Any) -> _Kind:
        """Return a message of this kind, with what every one of it says of the worker."""
        if issubclass(kind, Describing):
            fields = {**self.facts, **fields, "encoded": self.state.described}
        changes, count = self.arbiter.count()
        age, surplus = self.page.retire_age or self.worker.age, self.page.surplus
        return kind(age=age, changes=changes, workers=count, surplus=surplus, **fields)

    def tell(self, kind: type[FromWorker], **fields: Any) -> None:
        """Say it, and want no answer."""
        self.channel.tell(self.message(kind, **fields))

    def tell_booting(self) -> None:
        """Say that it boots. It is its arbiter's user then, and may be about to be another one."""
        self.channel.tell(self.state.booting or self.message(Booting))
        if self.state.becomes_other_user:
            self.channel.hang_up()  # its arbiter's queue is not for whoever it will be

    def ask(self, kind: type[FromWorker], *, waits: bool = True, **fields: Any) -> Ack | None:
        """Say it, and return the answer, or None (``Channel.ask``)."""
        return self.channel.ask(self.message(kind, **fields), waits=waits)

    def count_heard(self, answer: Ack) -> None:
        """Take note of which count of workers the listener knows, by its answer."""
        known = self.arbiter.count()[0] if answer.changes is None else answer.changes
        self.arbiter.count_heard(known)

    @property
    def is_spare(self) -> bool:
        """Others serve: this is a surplus worker, or a successor's."""
        return self.page.surplus or self._beside

    def be_patient(self) -> None:
        """Wait longer from now on, if it is a spare one."""
        if self.is_spare:
            timeout = self.worker.cfg.timeout if self.state.bounds_boots else 0
            bound = timeout / 2 if timeout else SPARE_PATIENCE_SECS
            self.channel.be_patient(min(bound, SPARE_PATIENCE_SECS))

    def keep_alive(self) -> None:
        """Beat for Gunicorn while this worker waits, where Gunicorn bounds a boot."""
        # From 22 on a boot is not bounded until the first heartbeat, so we must not begin it.
        if self.state.bounds_boots:
            self.worker.tmp.notify()

    @property
    def leaving(self) -> bool:
        """The worker has been asked to leave."""
        return not self.worker.alive
