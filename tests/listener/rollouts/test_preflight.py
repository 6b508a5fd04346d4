"""A preflight is started, waited for, asked where it hangs, and ended, by what supervisord says."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.listener.edges.supervisord import Refused, Unreachable
from supervisor_roll.listener.rollouts.preflight import LAST_WORDS_SECS, Preflights
from supervisor_roll.listener.rollouts.preflight_output import explained
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.wire.successor import Preflight

BESIDE = "web:web.preflight"
DUMP = 'Current thread 0x00007f (most recent call first):\n  File "app.py", line 3 in connect\n'


class FakeSupervisord:
    """It runs one preflight at a time, which ends when a test says so."""

    def __init__(self) -> None:
        self.now, self.pid, self.state = 100.0, 0, "RUNNING"
        self.last = Preflight()
        self.done: list[str] = []
        self.fault: int | None = None
        self.silent = False
        self._states: dict[str, str] | None = None

    def start_preflight(self, namespec: str, within_secs: float, changed: bool) -> Preflight:
        self._say(f"start {within_secs:g} {changed}")
        if self.last.runs:
            self._end(137)
            raise refusal(Faults.ALREADY_STARTED)
        self.pid += 1
        self.last = Preflight(self.pid, True)
        return self.last

    def stop_preflight(self, namespec: str) -> Preflight:
        self._say("stop")
        self._end(137)
        return self.last

    def preflight(self, namespec: str) -> Preflight:
        self._say("look")
        return self.last

    def signal(self, namespec: str, name: str) -> None:
        self._say(f"{name} {namespec}")

    def end(self, exit_code: int, tail: str = "") -> None:
        self._end(exit_code, tail)
        self.stale()

    def _end(self, exit_code: int, tail: str = "") -> None:
        self.last = Preflight(self.last.pid, False, exit_code, tail)

    def _say(self, what: str) -> None:
        if self.silent:
            raise Unreachable("no answer")
        if self.fault is not None:
            raise refusal(self.fault)
        self.done.append(what)

    # --- as the registry, which keeps what it has seen until supervisord's next event

    def stale(self) -> None:
        self._states = None

    def states(self) -> dict[str, str]:
        if self._states is None:
            self._states = {"web": self.state} | ({BESIDE: "RUNNING"} if self.last.runs else {})
        return self._states


def refusal(code: int) -> Refused:
    return Refused("roll.startPreflight", xmlrpc.client.Fault(code, "FAILED: web: such is it"))


@pytest.fixture
def supervisord() -> FakeSupervisord:
    return FakeSupervisord()


@pytest.fixture
def preflights(supervisord: FakeSupervisord) -> Preflights:
    either: Any = supervisord
    return Preflights(either, either, lambda: supervisord.now)


def test_a_good_one_costs_a_call_to_begin_and_one_to_end(
    supervisord: FakeSupervisord, preflights: Preflights
) -> None:
    preflights.start("web", 30, False)
    for _ in range(5):
        assert preflights.poll() == []
    assert preflights.runs("web") and preflights.next_deadline() == 130
    supervisord.now += 2
    supervisord.end(0, "hello\n")
    assert preflights.poll() == [("web", Result(True, 2, "", "hello\n"))]
    assert not preflights.runs("web") and preflights.next_deadline() is None
    assert supervisord.done == ["start 30 False", "look"]


def test_a_bad_one_says_why(supervisord: FakeSupervisord, preflights: Preflights) -> None:
    preflights.start("web", 30, True)
    supervisord.end(1, "Traceback (most recent call last):\n  x\nImportError: nosuch\n")
    ((_, result),) = preflights.poll()
    assert not result.ok and result.text.startswith("ImportError: nosuch\n")


@pytest.mark.parametrize("heeds", [True, False])
def test_one_that_hangs_is_asked_where_and_then_ended(
    supervisord: FakeSupervisord, preflights: Preflights, heeds: bool
) -> None:
    preflights.start("web", 30, False)
    supervisord.now += 30
    assert preflights.poll() == []
    assert supervisord.done[-1] == f"ABRT {BESIDE}"
    if heeds:
        supervisord.end(134, DUMP)
    else:
        assert preflights.poll() == []
        supervisord.now += LAST_WORDS_SECS
        assert preflights.poll() == []
        assert supervisord.done[-1] == "stop"
        supervisord.stale()
    ((_, result),) = preflights.poll()
    first = "not loaded within 30 s"
    where = '; it stood here (most recent call first):\n  File "app.py", line 3 in connect'
    assert (result.ok, result.text) == (False, first + where if heeds else first)


def test_one_that_is_of_no_use_any_more_is_ended_whenever_supervisord_answers(
    supervisord: FakeSupervisord, preflights: Preflights
) -> None:
    preflights.drop("web")
    assert preflights.next_deadline() is None, "there is none"
    preflights.start("web", 30, False)
    preflights.drop("web")
    supervisord.silent = True
    for _ in range(2):
        assert preflights.next_deadline() == supervisord.now
        with pytest.raises(Unreachable):
            preflights.poll()
    supervisord.silent = False
    assert preflights.poll() == []
    assert (supervisord.done[-1], supervisord.last.runs) == ("stop", False)
    assert preflights.next_deadline() is None


def test_an_earlier_one_is_gone_before_the_next_begins(
    supervisord: FakeSupervisord, preflights: Preflights
) -> None:
    """A listener before this one has started it, or it was given up a moment ago."""
    supervisord.last = Preflight(77, True)
    preflights.start("web", 30, False)
    assert preflights.poll() == []
    assert supervisord.last == Preflight(1, True)
    supervisord.end(0)
    assert [result.ok for _, result in preflights.poll()] == [True]


def test_one_that_is_asked_for_again_at_once_waits_for_the_dropped_one(
    supervisord: FakeSupervisord, preflights: Preflights
) -> None:
    preflights.start("web", 30, False)
    preflights.drop("web")
    preflights.start("web", 30, False)
    assert preflights.next_deadline() == supervisord.now + 30, "the loop does not spin"
    assert preflights.poll() == []
    assert supervisord.last == Preflight(2, True)
    assert "stop" not in supervisord.done


def test_an_earlier_one_that_cannot_be_ended_is_not_waited_for_without_end(
    supervisord: FakeSupervisord, preflights: Preflights
) -> None:
    supervisord.fault = Faults.ALREADY_STARTED
    preflights.start("web", 30, False)
    assert preflights.poll() == []
    supervisord.now += 30
    ((_, result),) = preflights.poll()
    assert (result.ok, result.text) == (False, "its last one could not be ended")


def test_nothing_is_lost_while_supervisord_does_not_answer(
    supervisord: FakeSupervisord, preflights: Preflights
) -> None:
    preflights.start("web", 30, False)
    supervisord.end(0)
    supervisord.silent = True
    with pytest.raises(Unreachable):
        preflights.poll()
    supervisord.silent = False
    assert [result.ok for _, result in preflights.poll()] == [True]


def test_of_a_program_that_is_gone_or_is_another_now_it_has_failed(
    supervisord: FakeSupervisord, preflights: Preflights
) -> None:
    preflights.start("web", 30, False)
    supervisord.last = Preflight()  # its group was removed, and added again
    supervisord.stale()
    ((_, result),) = preflights.poll()
    assert (result.ok, result.text) == (False, "its program has been removed meanwhile")
    preflights.start("web", 30, False)
    supervisord.end(0)
    supervisord.fault = Faults.BAD_NAME
    assert [result.ok for _, result in preflights.poll()] == [False]


@pytest.mark.parametrize("state", ["STOPPING", "STOPPED", "FATAL"])
def test_one_of_a_program_that_is_stopped_is_ended(
    supervisord: FakeSupervisord, preflights: Preflights, state: str
) -> None:
    preflights.start("web", 30, False)
    supervisord.state = "EXITED"  # and is started again
    supervisord.stale()
    assert preflights.poll() == []
    supervisord.state = state
    supervisord.stale()
    assert preflights.poll() == [
        ("web", Result(False, 0, "its program has been stopped meanwhile"))
    ]
    assert preflights.next_deadline() == supervisord.now
    assert preflights.poll() == []
    assert supervisord.done == ["start 30 False", "stop"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (Faults.FAILED, "such is it"),
        (Faults.UNKNOWN_METHOD, "supervisord runs an earlier version"),
        (None, "no answer"),
    ],
)
def test_one_that_cannot_be_started_is_not_possible(
    supervisord: FakeSupervisord, preflights: Preflights, code: int | None, why: str
) -> None:
    supervisord.fault, supervisord.silent = code, code is None
    with pytest.raises(NotPossible, match=f"^{why}"):
        preflights.start("web", 30, False)
    assert not preflights.runs("web")


@pytest.mark.parametrize(
    ("output", "exit_code", "late", "text"),
    [
        ("anything", 0, None, ""),
        ("out", 134, 2.0, "not loaded within 2 s\nout"),
        ("out", 0, 2.0, "not loaded within 2 s\nout"),
        ("", 127, None, "its command cannot be executed"),
        ("", 200, None, "it left with status 200 while it loaded the application (sys.exit?)"),
        ("", 143, None, "it died of SIGTERM"),
        ("Error: x\n", 1, None, "Error: x"),
        (f"Thread 0x1 (most recent call first):\n  no\n{DUMP}", 134, None, "it died of SIGABRT"),
    ],
)
def test_what_output_and_exit_status_mean(
    output: str, exit_code: int, late: float | None, text: str
) -> None:
    found = explained(output, exit_code, late)
    assert found.startswith(text) and bool(found) == bool(text)
    assert "  no" not in found


def test_a_crowd_of_lines_is_cut() -> None:
    output = "".join(f"{n}\n" for n in range(100))
    assert explained(output, 7, None).splitlines()[1:] == [str(n) for n in range(88, 100)]
