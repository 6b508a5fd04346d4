"""Following a job through trouble: supervisord unreachable, the listener gone."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from supervisor_roll.ctl.follower import Follower, Lost
from supervisor_roll.ctl.screen import Screen
from supervisor_roll.rollout.reports import Began, Note, Refused, Skipped, Succeeded, Warned
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED
from supervisor_roll.wire.mailbox import Report, Reports


class Client:
    """Answers a follower's polls with what a test says: Reports, or an error to raise."""

    def __init__(self, *answers: Reports | Exception) -> None:
        self.answers: Iterator[Reports | Exception] = iter(answers)
        self.since: list[int] = []

    def reports(self, job: str, since: int) -> Reports:
        self.since.append(since)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def some(
    *kinds: str,
    first: int = 1,
    program: str = "myapp",
    done: bool = False,
    listener: str = "RUNNING",
) -> Reports:
    return Reports(
        [Report("1", program, kind, {}, 0.0, first + n) for n, kind in enumerate(kinds)],
        done,
        listener,
    )


def follow(
    client: Client,
    *programs: str,
    patience_secs: float = 10.0,
    only: bool = False,
    update: bool = False,
) -> tuple[Follower, str]:
    out = io.StringIO()
    follower = Follower(client, Screen(out), patience_secs)
    follower.follow("1", programs, only, update)
    return follower, out.getvalue()


def test_each_poll_asks_for_what_is_new() -> None:
    client = Client(some(Began.kind, Warned.kind), some(), some(COMPLETE, first=3, done=True))
    follower, _ = follow(client, "myapp")
    assert client.since == [0, 2, 2]
    assert (follower.outcomes, follower.succeeded) == ({"myapp": "complete"}, True)


def test_an_unreachable_supervisord_is_endured_for_a_while() -> None:
    refused = ConnectionRefusedError("refused")
    follower, _ = follow(Client(refused, refused, some(COMPLETE, done=True)), "myapp")
    assert follower.succeeded
    with pytest.raises(Lost, match="cannot reach supervisord: refused"):
        follow(Client(refused, refused), "myapp", patience_secs=0.0)


def test_a_listener_that_starts_again_is_endured_and_one_that_stays_away_is_not() -> None:
    away = some(listener="FATAL")
    follower, _ = follow(
        Client(away, some(), away, some(COMPLETE, done=True)), "myapp", patience_secs=0.2
    )
    assert follower.succeeded
    follow(Client(some(listener="BACKOFF"), some(COMPLETE, done=True)), "myapp", patience_secs=0.0)
    with pytest.raises(Lost, match="the listener is FATAL, so this rollout is on hold"):
        follow(Client(away), "myapp", patience_secs=0.0)


@pytest.mark.parametrize(
    ("kinds", "succeeded"),
    [
        ([COMPLETE, COMPLETE], True),
        ([COMPLETE, Skipped.kind], True),
        ([Skipped.kind, Skipped.kind], False),
        ([COMPLETE, FAILED], False),
        ([COMPLETE, ABORTED], False),
        ([Refused.kind, COMPLETE], False),
        ([COMPLETE, Began.kind], False),
    ],
)
def test_success_is_every_program_complete_that_was_not_skipped(
    kinds: list[str], succeeded: bool
) -> None:
    client = Client(some(kinds[0], program="a"), some(kinds[1], program="b", done=True))
    follower, _ = follow(client, "a", "b")
    assert follower.succeeded is succeeded


def test_one_of_several_programs_is_followed_to_its_own_end() -> None:
    client = Client(some(Began.kind, program="a"), some(COMPLETE, program="b", first=2))
    follower, text = follow(client, "b", only=True)
    assert follower.outcomes == {"b": COMPLETE}
    assert "a:" not in text


def test_kinds_of_a_later_release_change_no_outcome() -> None:
    client = Client(
        some("invented", Began.kind, "pondered", COMPLETE, "mused"),
        some("hummed", program="elsewhere", first=6, done=True),
    )
    follower, text = follow(client, "myapp")
    assert (follower.outcomes, follower.succeeded) == ({"myapp": "complete"}, True)
    assert "myapp: invented {}\n" in text


def test_a_note_on_a_program_that_nobody_named_owes_no_outcome() -> None:
    follower, text = follow(
        Client(some(COMPLETE), some(Note.kind, Warned.kind, program="redis", first=2, done=True)),
        "myapp",
    )
    assert follower.succeeded
    assert "without reporting" not in text


@pytest.mark.parametrize(
    ("reports", "succeeded", "says"),
    [
        ([], True, "no changes\n"),
        ([("a", Skipped.kind), ("b", Skipped.kind)], True, "no changes\n"),
        ([("", Note.kind)], True, "nothing was rolled\n"),
        ([("a", Warned.kind)], True, "nothing was rolled\n"),
        ([("a", COMPLETE)], True, ""),
        ([("a", COMPLETE), ("b", Skipped.kind), ("c", Note.kind)], True, ""),
        ([("", Refused.kind)], False, ""),
        ([("", Refused.kind), ("a", COMPLETE)], False, ""),
        ([("a", FAILED), ("b", Skipped.kind)], False, ""),
        ([("a", Succeeded.kind)], False, ""),
        ([("a", Began.kind), ("b", COMPLETE)], False, ""),
    ],
)
def test_an_update_owes_an_outcome_only_to_what_it_begins(
    reports: list[tuple[str, str]], succeeded: bool, says: str
) -> None:
    answers = [some(kind, program=program, first=n) for n, (program, kind) in enumerate(reports, 1)]
    follower, text = follow(Client(*answers, some(done=True)), "all", update=True)
    assert follower.succeeded is succeeded
    assert text.endswith(says)
    assert ("no changes" in text or "nothing was rolled" in text) == bool(says)
    unended = [program for program, kind in reports if kind in (Succeeded.kind, Began.kind)]
    assert [
        program
        for program in "abc"
        if f"{program}: the listener ended this rollout without" in text
    ] == unended


def test_an_update_without_changes_excuses_no_rollout_followed_with_it() -> None:
    out = io.StringIO()
    client = Client(some(Skipped.kind, program="a", done=True), some(done=True))
    follower = Follower(client, Screen(out), 1.0)
    follower.follow("1", ["a"])
    follower.follow("2", ["all"], update=True)
    assert not follower.succeeded


def test_of_one_program_of_an_update_what_is_about_none_is_told_too() -> None:
    client = Client(
        some(Began.kind, program="a"),
        some(Refused.kind, program="", first=2),
        some(COMPLETE, program="b", first=3),
    )
    follower, text = follow(client, "b", only=True, update=True)
    assert follower.outcomes == {"": Refused.kind, "b": COMPLETE}
    assert (follower.succeeded, "a:" in text) == (False, False)


def test_a_line_that_the_output_cannot_encode_is_escaped() -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    Screen(out).say("snow \u2603")
    out.seek(0)
    assert out.read() == "snow \\u2603\n"
