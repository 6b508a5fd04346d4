"""What the listener has rendered for whoever looks: kept as bytes, and copied to each who asks.

The listener renders only what is asked for. Who asks for what is not there, or is old, waits for
its next word: bounded in number and time, with supervisord's own tick as the only clock.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from supervisor_roll.wire.mailbox import MAX_DIGITS, MAX_DOCUMENT_CHARS, METRICS, STATUS

# So many wait at once; who comes then is answered at once.
MAX_WAITING = 64
# What a poll waits for news; supervisord ticks every 5 s.
WAIT_SECS = 8.0
# Who has asked for the status within this time watches; the listener is told so from time to time.
WATCHING_SECS = 20.0
TELL_SECS = 5.0
# What nobody has asked for since is dropped.
KEPT_SECS = 60.0
MAX_KEPT = 8
_NAME = re.compile(rf"{STATUS}|history|{METRICS}|rollouts/[0-9]{{1,{MAX_DIGITS}}}")


@dataclass
class Document:
    """``number`` is another one for each other text; ``awaited``: the listener is to render it."""

    asked_at: float
    data: bytes | None = None
    number: int = 0
    awaited: bool = False


class Reply(Protocol):
    """Who asks: is answered once, unless gone."""

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more."""

    def answer(self, document: Document) -> None:
        """Say what the document has; its ``data`` is None if there is nothing."""


@dataclass
class _Waiting:
    document: Document
    known: int | None  # its number; None: whatever comes next is news
    since: float
    reply: Reply


class Documents:
    """By name, such as ``rollouts/12``. ``ring`` has the listener look into the mailbox."""

    def __init__(
        self, ring: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` is in seconds and monotonic."""
        self._ring, self._clock = ring, clock
        self._known: dict[str, Document] = {}
        self._waiting: list[_Waiting] = []
        # Who knows a number of an earlier supervisord's must not take one of ours for it.
        self._number = int(time.time())
        self._told_at = float("-inf")

    @staticmethod
    def has(name: str) -> bool:
        """Whether there may be a document of that name."""
        return _NAME.fullmatch(name) is not None

    def ask(self, name: str, known: int | None, reply: Reply, wait: bool = True) -> None:
        """Answer with the document, at once or later; with another than ``known``, if that is told.

        Without ``wait``, or where too many wait, what is there must do.
        """
        now = self._clock()
        if name not in self._known:
            self._known[name] = Document(now)
            while len(self._known) > MAX_KEPT:
                del self._known[min(self._known, key=lambda one: self._known[one].asked_at)]
        document = self._known[name]
        is_current = document.data is not None and name == STATUS and self._watches(now)
        document.asked_at = now
        is_new = not is_current and not document.awaited
        document.awaited = not is_current
        if is_new or (now - self._told_at > TELL_SECS and (document.awaited or name == STATUS)):
            self._told_at = now
            self._ring()
        self._waiting = [one for one in self._waiting if not one.reply.gone]
        is_news = is_current and document.number != known
        if is_news or not wait or len(self._waiting) >= MAX_WAITING:
            reply.answer(document)
        else:
            known = known if is_current else None
            self._waiting.append(_Waiting(document, known, now, reply))

    def take(self, rendered: Mapping[str, str]) -> None:
        """Keep what the listener has rendered, and answer who waits for it."""
        for name, text in rendered.items():
            document = self._known.get(name)
            if document is None or len(text) > MAX_DOCUMENT_CHARS:
                continue
            data = text.encode(errors="replace")
            if data != document.data:
                self._number += 1
                document.data, document.number = data, self._number
            document.awaited = False
        self._answer(lambda one: not one.document.awaited and one.document.number != one.known)

    def wanted(self) -> tuple[list[str], bool]:
        """Return the names of what the listener is to render, and whether somebody watches."""
        now = self._clock()
        self._told_at = now
        return [name for name, one in self._known.items() if one.awaited], self._watches(now)

    def tick(self) -> None:
        """Answer who has waited for long enough, and drop what nobody asks for any more."""
        now = self._clock()
        self._answer(lambda one: now - one.since > WAIT_SECS)
        kept = {name: one for name, one in self._known.items() if now - one.asked_at < KEPT_SECS}
        self._known = kept

    def _watches(self, now: float) -> bool:
        status = self._known.get(STATUS)
        return status is not None and now - status.asked_at < WATCHING_SECS

    def _answer(self, due: Callable[[_Waiting], bool]) -> None:
        # First those that go on waiting: who is answered may ask again at once.
        ready = [one for one in self._waiting if due(one)]
        self._waiting = [one for one in self._waiting if not due(one)]
        for one in ready:
            if not one.reply.gone:
                one.reply.answer(one.document)
