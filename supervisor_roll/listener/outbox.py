"""What the listener is about to say and do. It leaves in one order: save, act, answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from supervisor_roll.listener.edges.received import Answer
from supervisor_roll.rollout.events import Action
from supervisor_roll.rollout.reports import Facts
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import MAX_PORTION_CHARS, Report, Signal
from supervisor_roll.wire.messages import Message


@dataclass
class Outbox:
    """``unsaved``: the programs of which something changed that a later listener must know.

    "" stands for what is of no program alone.
    """

    wall: Callable[[], float]
    unsaved: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    actions: list[tuple[str, Action]] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)  # for supervisord to send
    starts: list[Callable[[], None]] = field(default_factory=list)  # of processes beside
    # With descriptors that are closed once they are sent.
    answers: list[tuple[Answer, Message, list[int]]] = field(default_factory=list)

    def report(self, job: str, namespec: str, facts: Facts) -> None:
        """Tell whoever follows the job."""
        self.reports.append(Report(job, namespec, facts.kind, vars(facts), self.wall()))
        self.unsaved.add(namespec)

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
