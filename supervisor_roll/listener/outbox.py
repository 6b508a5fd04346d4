"""What the listener is about to say and do. It leaves in one order: save, act, answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from supervisor_roll.listener.edges.received import Answer
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.rollout.events import Action
from supervisor_roll.rollout.reports import Facts
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.datagram import Message
from supervisor_roll.wire.mailbox import MAX_PORTION_CHARS, Report

_Part = TypeVar("_Part")
_left_out = Seldom()


@dataclass
class Outbox:
    """``unsaved``: something changed that a listener started after this one must know."""

    wall: Callable[[], float]
    unsaved: bool = True
    fetched: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    actions: list[tuple[str, Action]] = field(default_factory=list)
    starts: list[Callable[[], None]] = field(default_factory=list)  # of processes beside
    # With descriptors that are closed once they are sent.
    answers: list[tuple[Answer, Message, list[int]]] = field(default_factory=list)

    def report(self, job: str, namespec: str, facts: Facts) -> None:
        """Tell whoever follows the job."""
        self.reports.append(Report(job, namespec, facts.kind, vars(facts), self.wall()))
        self.unsaved = True

    @property
    def portion(self) -> int:
        """How many of the reports supervisord takes at once."""
        room, number = MAX_PORTION_CHARS, 0
        for report in self.reports:
            room -= len(to_json(report))
            if room < 0:
                break
            number += 1
        return max(1, number)

    @property
    def full(self) -> bool:
        return bool(
            self.unsaved or self.fetched or self.done or self.reports or self.actions or self.starts
        )


def kept_within(parts: dict[str, _Part], most_chars: int) -> dict[str, _Part]:
    """Those of the parts, by whose they are, that have room together as JSON.

    The largest are left out: what one program tells of itself must not cost the others theirs.
    """
    if len(to_json(parts)) <= most_chars:
        return parts
    sizes = {key: len(to_json({key: one})) for key, one in parts.items()}
    kept, room = dict[str, _Part](), most_chars
    for key in sorted(parts, key=lambda key: sizes[key]):
        room -= sizes[key]
        if room < 0:
            _left_out.warn("too much is known of %s: it is neither saved nor shown", key)
            break
        kept[key] = parts[key]
    return kept
