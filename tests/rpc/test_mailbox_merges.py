"""Of the state and the statuses the listener says what has changed; supervisord has the whole."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.words import COMPLETE, FAILED
from supervisor_roll.rpc.mailbox import Mailbox
from supervisor_roll.wire.mailbox import MAX_STATE_CHARS, Delivery, Exchange, Signal, Status


class Box:
    """A mailbox, and what it has sent."""

    def __init__(self) -> None:
        self.mailbox, self.sent, self.saved_then = Mailbox(), list[str](), list[object]()

    def say(self, **said: Any) -> Delivery:
        return self.mailbox.exchange(Exchange(1, **said), 0.0, 1e9, self._send)

    def _send(self, namespec: str, name: str) -> str:
        self.sent.append(f"{name} {namespec}")
        self.saved_then.append(copy.deepcopy(self.mailbox.state))
        return "it does not run" if namespec == "gone" else ""


def signals(*numbers: int, namespec: str = "p") -> list[Signal]:
    return [Signal(number, namespec, "TTIN") for number in numbers]


def test_parts_are_added_replaced_and_dropped() -> None:
    box = Box()
    box.say(state={"p": {"run": "1", "job": "2"}, "q": {"run": "3"}})
    box.say(state={"p": {"run": "4", "job": None, "none": None}, "q": {"run": None}, "r": {}})
    assert box.say(hello=True).state == {"p": {"run": "4"}}
    assert box.say().state == {}


def test_the_whole_takes_the_place_of_all() -> None:
    box = Box()
    box.say(state={"p": {"run": "1"}}, statuses={"p": Status(COMPLETE, 1), "q": Status(FAILED, 1)})
    box.say(statuses={"p": None})
    assert set(box.mailbox.statuses) == {"q"}
    box.say(whole=True, state={"q": {"run": "2"}}, statuses={"r": Status(FAILED, 2)})
    assert box.say(hello=True).state == {"q": {"run": "2"}}
    assert box.mailbox.statuses == {"r": Status(FAILED, 2)}


def test_no_more_is_kept_than_has_room() -> None:
    box, half = Box(), "x" * (MAX_STATE_CHARS // 2)
    for _ in range(5):
        box.say(state={"p": {"run": half}})
        box.say(state={"p": {"run": None}})
    box.say(state={"p": {"run": half}})
    with pytest.raises(BadMessage, match="more than"):
        box.say(state={"q": {"run": half, "job": "x"}})
    assert set(box.say(hello=True).state) == {"p"}
    box.say(whole=True, state={"q": {"run": half, "job": "x"}})
    assert set(box.say(hello=True).state) == {"q"}


def test_a_signal_is_sent_once_however_often_it_is_said() -> None:
    box = Box()
    assert box.say(signals=signals(1)).unsent == []
    box.say(signals=signals(1, 2))
    assert box.say(signals=signals(3, namespec="gone")).unsent == ["it does not run"]
    assert box.say(signals=signals(3, namespec="gone")).unsent == []
    assert box.sent == ["TTIN p", "TTIN p", "TTIN gone"]


def test_a_new_listener_counts_its_signals_anew() -> None:
    box = Box()
    box.say(signals=signals(1, 2, 3))
    box.say(hello=True)
    box.say(signals=signals(1))
    assert len(box.sent) == 4


def test_what_a_signal_is_sent_for_is_saved_before() -> None:
    box = Box()
    box.say(state={"p": {"run": "wanted"}}, signals=signals(1))
    assert box.saved_then == [{"p": {"run": "wanted"}}]
