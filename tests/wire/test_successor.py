"""What supervisord says of successors and of its configuration, and what is no such thing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire import successor as wire
from supervisor_roll.wire.codec import from_json

NAMES = st.text("ab.-", min_size=1, max_size=4)


def test_an_effect_of_a_later_release_is_passed_on() -> None:
    found = from_json(wire.Reread, '{"changes": [{"namespec": "a", "keys": {"user": "magic"}}]}')
    assert found.changes[0].keys == {"user": "magic"}


def test_nothing_at_all_is_nothing_that_changed_and_nobody_that_runs() -> None:
    assert from_json(wire.Reread, "{}") == wire.Reread()
    assert from_json(wire.Succession, "{}") == wire.Succession()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"changes": {}}', "Reread.changes: {} is not a list"),
        ('{"changes": ["a"]}', "Reread.changes.0: 'a' is not an object"),
        ('{"changes": [{"keys": {}}]}', "Reread.changes.0: missing namespec"),
        ('{"changes": [{"namespec": "a"}]}', "Reread.changes.0: missing keys"),
        ('{"changes": [{"namespec": 1, "keys": {}}]}', "Reread.changes.0.namespec: 1 is not text"),
        (
            '{"changes": [{"namespec": "a", "keys": ["user"]}]}',
            "Reread.changes.0.keys: ['user'] is not an object",
        ),
        (
            '{"changes": [{"namespec": "a", "keys": {"user": 1}}]}',
            "Reread.changes.0.keys.user: 1 is not text",
        ),
        ('{"resized": [{"added": []}]}', "Reread.resized.0: missing group"),
        (
            '{"resized": [{"group": "g", "added": "g:1"}]}',
            "Reread.resized.0.added: 'g:1' is not a list",
        ),
        (
            '{"resized": [{"group": "g", "dropped": [1]}]}',
            "Reread.resized.0.dropped.0: 1 is not text",
        ),
        ('{"added": "g"}', "Reread.added: 'g' is not a list"),
        ('{"removed": [1]}', "Reread.removed.0: 1 is not text"),
        ("{", "Reread: not JSON"),
        ("[]", "Reread: [] is not an object"),
    ],
)
def test_a_bad_reread_says_what_is_wrong_with_what(text: str, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        from_json(wire.Reread, text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"pid": -1}', "Succession.pid: -1 is not from 0 to"),
        ('{"pid": true}', "Succession.pid: True is not a whole number"),
        ('{"successor": "5981"}', "Succession.successor: '5981' is not a whole number"),
        ('{"retiring": 1.0}', "Succession.retiring: 1.0 is not a whole number"),
        ('{"state": null}', "Succession.state: None is not text"),
        ('{"tail": ["x"]}', "Succession.tail: ['x'] is not text"),
    ],
)
def test_a_bad_succession_says_what_is_wrong_with_what(text: str, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        from_json(wire.Succession, text)
    assert says in str(caught.value)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(BadMessage) as caught:
        from_json(wire.Succession, json.dumps({"pid": "x" * 100_000}))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("myapp:myapp.successor", "myapp"),
        ("myapp:myapp.retiring", "myapp"),
        ("myapp:myapp.preflight", "myapp"),
        ("web:one.successor", "web:one"),
        ("web:one", "web:one"),
        ("myapp", "myapp"),
        ("my.successor", "my.successor"),
    ],
)
def test_the_program_of_a_successor_is_named_as_supervisor_does(name: str, program: str) -> None:
    assert wire.program_of(name) == program


@given(NAMES, NAMES)
def test_a_successor_leads_back_to_its_program(group: str, name: str) -> None:
    program = name if group == name else f"{group}:{name}"
    assert wire.program_of(wire.successor_of(program)) == program
    assert wire.program_of(wire.preflight_of(program)) == program
