"""What may be asked by the mailbox, and what is refused there."""

from __future__ import annotations

import json

import pytest

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.reports import Left, Plan, Preflight
from supervisor_roll.rollout.words import WORKERS
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"names": ["a"]}', "Command: missing kind"),
        ('{"kind": "rollout", "names": "a"}', "Command.names: 'a' is not a list"),
        ('{"kind": "rollout", "names": [1]}', "Command.names.0: 1 is not text"),
        ('{"kind": "rollout", "names": []}', "names is empty"),
        (
            '{"kind": "reboot", "names": ["a"]}',
            "'reboot' is none of rollout, dry-run, update, recycle, history, abort",
        ),
        ('{"kind": "abort", "names": ["a"], "values": {"canary": "1"}}', "abort takes none"),
        ('{"kind": "abort", "names": ["a"], "parallel": 2}', "abort takes none"),
        ('{"kind": "rollout", "names": ["a"], "pids": [1]}', "pids: they are for the recycling"),
        ('{"kind": "recycle", "names": ["a", "b"], "pids": [1]}', "of one program's workers"),
        ('{"kind": "recycle", "names": ["a"], "pids": [-1]}', "Command.pids.0: -1 is not from 0"),
        (f'{{"kind": "recycle", "names": ["a"], "pids": {[1] * 1001}}}', "more than 1000"),
        ('{"kind": "rollout", "names": ["a"], "last": 5}', "last: it is for the history; rollout"),
        ('{"kind": "history", "names": ["a"], "last": -5}', "Command.last: -5 is not from 0"),
        ('{"kind": "rollout", "names": ["a"], "parallel": 0}', "0 is not from 1 to 64"),
        ('{"kind": "rollout", "names": ["a"], "parallel": 65}', "65 is not from 1 to 64"),
        ('{"kind": "rollout", "names": ["a"], "parallel": true}', "True is not a whole number"),
        (f'{{"kind": "rollout", "names": ["{"x" * 1025}"]}}', "more than 1024 characters"),
        (
            '{"kind": "rollout", "names": ["a"], "values": {"max_surge": 2}}',
            "Command.values.max_surge: 2 is not text",
        ),
    ],
)
def test_a_refusal_names_the_message_the_key_and_the_rule(text: str, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        wire.decode_command(text)
    assert says in str(caught.value)


def test_each_name_is_asked_for_once_and_who_asks_is_a_short_line() -> None:
    found = wire.decode_command(
        '{"kind": "rollout", "names": ["a", "b", "a"], "by": "o\\n%s"}' % ("x" * 100)
    )
    assert (found.names, found.by) == (["a", "b"], "o?" + "x" * 78)


def test_a_status_of_an_earlier_release_has_one_arbiter_and_rolls_workers() -> None:
    found = from_json(wire.Overview, '{"programs": {"a": {"state": "complete", "since": 1}}}')
    one = found.programs["a"]
    assert (one.strategy, one.arbiter, one.successor, one.retiring) == (WORKERS, 0, 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        '{"pid": 0}',
        '{"pid": -1}',
        '{"pid": true}',
        '{"pid": 1.0}',
        '{"pid": 1, "hello": 1}',
        '{"pid": 1, "state": 1}',
        '{"pid": 1, "reports": [{}]}',
        '{"pid": 1, "fetched": [1]}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": NaN}}}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": 1e99}}}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": 1, "successor": "5981"}}}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": 1, "strategy": 1}}}',
    ],
)
def test_a_malformed_exchange_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        from_json(wire.Exchange, text)


@pytest.mark.parametrize(
    "said",
    [
        wire.Exchange(7),
        wire.Exchange(7, hello=True, state={"a": {"run": None}}, statuses={"a": None}),
        wire.Exchange(7, signals=[wire.Signal(1, "a", "TTIN")], trouble="it is full"),
        wire.Delivery(),
        wire.Delivery([wire.Request("1", wire.ABORT, ["a"])], watched=True),
    ],
)
def test_what_is_empty_is_not_said_and_comes_to_the_same(
    said: wire.Exchange | wire.Delivery,
) -> None:
    text = wire.exchanged(said)
    assert from_json(type(said), text) == said
    assert all(json.loads(text).values())


@pytest.mark.parametrize("kind", [wire.Exchange, wire.Delivery])
def test_the_default_of_all_that_may_be_left_out_is_empty(kind: type) -> None:
    one = kind(7) if kind is wire.Exchange else kind()
    assert not any(value for name, value in vars(one).items() if name != "pid")


def test_reports_are_the_same_of_texts_as_of_values() -> None:
    some = [wire.Report("1", "myapp", "left", {"pid": 7}, 1.5, seq) for seq in (1, 2)]
    for reports in ([], some):
        whole = wire.Reports(reports, True, "RUNNING")
        text = wire.reports_text([to_json(one) for one in reports], True, "RUNNING")
        assert text == to_json(whole)


def report(kind: str, facts: dict[str, object]) -> wire.Report:
    return wire.Report("1", "myapp", kind, facts)


def test_a_report_has_for_content_what_its_kind_tells() -> None:
    found = report("left", {"pid": 7, "why": "signal 9", "later": [1]}).content
    assert found == Left(7, "signal 9")


def test_what_is_missing_or_strange_in_a_report_has_its_default() -> None:
    found = report("plan", {"workers": "4", "desired": 4, "memory": 3, "preflight": {"ok": True}})
    assert found.content == Plan(desired=4, preflight=Preflight(ok=True))


def test_a_report_of_a_later_release_has_no_content() -> None:
    assert report("invented", {"later": 1}).content is None


def test_a_request_names_a_thousand_at_most() -> None:
    names = [str(number) for number in range(wire.MAX_NAMES + 1)]
    assert wire.decode_command(to_json(wire.Command(wire.UPDATE, names[1:]))).names == names[1:]
    with pytest.raises(BadMessage, match="more than 1000"):
        wire.decode_command(to_json(wire.Command(wire.UPDATE, names)))


@pytest.mark.parametrize("text", ["", "-1", "1.0", "x", "²", "1" * 30])
def test_what_is_no_number_of_a_process_or_rollout(text: str) -> None:
    assert wire.is_number("4194304")
    assert not wire.is_number(text)
