"""The sender's end of an answer, in a fake site. See fakes/site.py."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from supervisor_roll.wire.messages import Ack, Message
from tests.fakes.program import close

if TYPE_CHECKING:
    from tests.fakes.site import Site


class FakeAnswer:
    """The sender's end, for one answer."""

    def __init__(self, site: Site, pid: int, message: Message) -> None:
        self._site, self.pid, self.message = site, pid, message
        self.sent: Ack | None = None
        self.dropped = False

    def send(self, message: Ack, fds: Sequence[int] = ()) -> None:
        what = f"answer {self.message.kind} {self.pid}"
        try:
            self._site.point(what, lambda: self._got(message, fds))
        finally:
            close(fds)

    def drop(self) -> None:
        """Who asked sees that there will be no answer."""
        if self.sent is None and not self.dropped:
            self.dropped = True
            self._site.answered(self, None, [])

    def _got(self, message: Ack, fds: Sequence[int]) -> None:
        try:
            came = [os.dup(fd) for fd in fds]
        except OSError:
            self.drop()  # as the real one, to which a descriptor that is closed is an error too
            return
        self.sent = message
        self._site.answered(self, message, came)
