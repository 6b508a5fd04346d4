"""What waits for the listener's rendering, for how long, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from supervisor_roll.rpc.page.documents import MAX_KEPT, MAX_WAITING, Document, Documents
from supervisor_roll.wire.mailbox import MAX_DOCUMENT_CHARS, STATUS


@dataclass
class Asker:
    """Who asks: what it was answered, and whether it has gone."""

    answers: list[bytes | None] = field(default_factory=list)
    number: int = 0
    gone: bool = False

    def answer(self, document: Document) -> None:
        assert not self.gone
        self.answers.append(document.data)
        self.number = document.number


class Kept(Documents):
    """With a clock that is set, and the rings counted."""

    def __init__(self) -> None:
        self.now, self.rings = 100.0, 0
        super().__init__(self._rung, lambda: self.now)

    def _rung(self) -> None:
        self.rings += 1

    def asked(self, name: str = STATUS, known: int | None = None, wait: bool = True) -> Asker:
        asker = Asker()
        self.ask(name, known, asker, wait)
        return asker


def test_who_asks_first_waits_for_the_listener_which_is_rung_once() -> None:
    kept = Kept()
    first, second = kept.asked(), kept.asked()
    assert (first.answers, second.answers, kept.rings) == ([], [], 1)
    assert kept.wanted() == ([STATUS], True)
    kept.take({STATUS: "one"})
    assert first.answers == second.answers == [b"one"]
    assert kept.wanted() == ([], True)


def test_a_poll_is_answered_when_there_is_another_text() -> None:
    kept = Kept()
    kept.asked()
    kept.take({STATUS: "one"})
    known = kept.asked().number
    poll = kept.asked(known=known)
    kept.take({STATUS: "one"})
    assert poll.answers == []
    kept.take({STATUS: "two"})
    assert poll.answers == [b"two"] and poll.number != known
    assert kept.asked(known=known).answers == [b"two"]


def test_a_poll_that_brings_nothing_ends_with_what_is_known() -> None:
    kept = Kept()
    kept.asked()
    kept.take({STATUS: "one"})
    poll = kept.asked(known=kept.asked().number)
    kept.now += 5
    kept.tick()
    assert poll.answers == []
    kept.now += 5
    kept.tick()
    assert poll.answers == [b"one"]


def test_nobody_waits_for_a_silent_listener_for_ever() -> None:
    kept = Kept()
    asker = kept.asked("history")
    kept.now += 10
    kept.tick()
    assert asker.answers == [None]


def test_what_is_watched_is_there_at_once_and_the_listener_hears_so_now_and_then() -> None:
    kept = Kept()
    kept.asked()
    kept.wanted()
    kept.take({STATUS: "one"})
    for _ in range(15):
        kept.now += 1
        assert kept.asked().answers == [b"one"]
    assert 2 <= kept.rings <= 4
    kept.now += 30
    assert kept.wanted() == ([], False)
    assert kept.asked().answers == []
    assert kept.wanted() == ([STATUS], True)


def test_anything_else_is_rendered_anew_each_time() -> None:
    kept = Kept()
    kept.asked("metrics")
    kept.take({"metrics": "one"})
    asker = kept.asked("metrics")
    assert asker.answers == []
    kept.take({"metrics": "one"})
    assert asker.answers == [b"one"], "the same text is news to who waits for a new one"


def test_without_a_listener_nobody_waits() -> None:
    kept = Kept()
    assert kept.asked(wait=False).answers == [None]
    kept.take({STATUS: "one"})
    kept.now += 40
    assert kept.asked(wait=False).answers == [b"one"]


def test_no_more_wait_than_there_is_room_for_and_who_has_gone_takes_none() -> None:
    kept = Kept()
    waiting = [kept.asked() for _ in range(MAX_WAITING)]
    assert kept.asked().answers == [None]
    waiting[0].gone = True
    assert kept.asked().answers == []
    waiting[1].gone = True
    kept.take({STATUS: "one"})
    assert waiting[2].answers == [b"one"]


def test_what_is_kept_is_bounded() -> None:
    kept = Kept()
    for number in range(3 * MAX_KEPT):
        kept.asked(f"rollouts/{number}")
        kept.now += 0.1
    assert len(kept.wanted()[0]) == MAX_KEPT
    kept.take({"history": "never asked for", "rollouts/23": "x" * (MAX_DOCUMENT_CHARS + 1)})
    assert kept.asked("history", wait=False).answers == [None]
    assert kept.asked("rollouts/23", wait=False).answers == [None]
    kept.now += 100
    kept.tick()
    assert kept.wanted() == ([], False)


def test_which_names_there_are() -> None:
    names = ["status", "history", "metrics", "rollouts/7"]
    assert [one for one in names if Documents.has(one)] == names
    for name in ("", "rollouts/", "rollouts/x", "rollouts/" + "1" * 11, "../status", "status\n"):
        assert not Documents.has(name)
