"""What supervisord says of successors and of its configuration, and what is no such thing."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire import successor as wire

TEXT = st.text(max_size=20)
TEXTS = st.lists(TEXT, max_size=3)
PID = st.integers(0, 2**22)
KEYS = st.dictionaries(
    TEXT, st.sampled_from([wire.LIVE, wire.NEEDS_ARBITER, wire.NEEDS_UPDATE]), max_size=4
)
CHANGES = st.builds(wire.Change, TEXT, KEYS, TEXT, TEXT)
RESIZES = st.builds(wire.Resize, TEXT, TEXTS, TEXTS, TEXT)
MESSAGES: list[
    tuple[st.SearchStrategy[wire.Reread | wire.Succession], Callable[[object], object]]
] = [
    (
        st.builds(
            wire.Reread, st.lists(CHANGES, max_size=3), st.lists(RESIZES, max_size=3), TEXTS, TEXTS
        ),
        wire.decode_reread,
    ),
    (st.builds(wire.Succession, PID, TEXT, PID, TEXT, PID, TEXT, TEXT), wire.decode_succession),
]
DECODERS = [decode for _, decode in MESSAGES]
NAMES = st.text("ab.-", min_size=1, max_size=4)


@given(data=st.data())
@pytest.mark.parametrize(("values", "decode"), MESSAGES)
def test_an_answer_comes_back_as_it_was_in_plain_ascii(
    data: st.DataObject,
    values: st.SearchStrategy[wire.Reread | wire.Succession],
    decode: Callable[[object], object],
) -> None:
    value = data.draw(values)
    text = wire.encode(value)
    assert text.isascii() and text.isprintable()
    assert decode(text) == value


def test_keys_of_a_later_release_are_ignored_at_every_depth() -> None:
    later = {"later": [1]}
    assert wire.decode_succession(json.dumps({"pid": 7, **later})) == wire.Succession(7)
    assert wire.decode_reread(
        json.dumps(
            {
                "changes": [{"namespec": "a", "keys": {"user": "arbiter"}, **later}],
                "resized": [{"group": "g", "added": ["g:1"], **later}],
                **later,
            }
        )
    ) == wire.Reread([wire.Change("a", {"user": "arbiter"})], [wire.Resize("g", ["g:1"])])


def test_an_effect_of_a_later_release_is_passed_on() -> None:
    found = wire.decode_reread('{"changes": [{"namespec": "a", "keys": {"user": "magic"}}]}')
    assert found.changes[0].keys == {"user": "magic"}


def test_nothing_at_all_is_nothing_that_changed_and_nobody_that_runs() -> None:
    assert wire.decode_reread("{}") == wire.Reread()
    assert wire.decode_succession("{}") == wire.Succession()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "changes",
                        "resized",
                        "added",
                        "namespec",
                        "keys",
                        "group",
                        "pid",
                        "state",
                        "successor",
                        "tail",
                    ]
                )
                | TEXT,
                inner,
                max_size=4,
            )
        ),
    ),
    st.sampled_from(DECODERS),
)
def test_any_other_json_is_refused_or_read_and_never_breaks(
    junk: object, decode: Callable[[object], object]
) -> None:
    try:
        decode(json.dumps(junk))
    except BadMessage:
        pass


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "[" * 100_000, "NaN", b"{}", None, 3])
@pytest.mark.parametrize("decode", DECODERS)
def test_what_is_no_json_object_is_refused(
    text: object, decode: Callable[[object], object]
) -> None:
    with pytest.raises(BadMessage):
        decode(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"changes": {}}', "changes: {} is not a list"),
        ('{"changes": ["a"]}', "Change: 'a' is not an object"),
        ('{"changes": [{"keys": {}}]}', "namespec"),
        ('{"changes": [{"namespec": "a"}]}', "keys"),
        ('{"changes": [{"namespec": 1, "keys": {}}]}', "Change: namespec: 1 cannot be used"),
        ('{"changes": [{"namespec": "a", "keys": ["user"]}]}', "Change: keys: ['user'] cannot"),
        (
            '{"changes": [{"namespec": "a", "keys": {"user": 1}}]}',
            "Change: keys: {'user': 1} cannot",
        ),
        ('{"resized": [{"added": []}]}', "group"),
        ('{"resized": [{"group": "g", "added": "g:1"}]}', "Resize: added: 'g:1' cannot be used"),
        ('{"resized": [{"group": "g", "dropped": [1]}]}', "Resize: dropped: [1] cannot be used"),
        ('{"added": "g"}', "added: 'g' is not a list"),
        ('{"removed": [1]}', "Reread: removed: [1] cannot be used"),
        ("{", "Reread: not JSON"),
        ("[]", "Reread: '[]' is not an object"),
    ],
)
def test_a_bad_reread_says_what_is_wrong_with_what(text: str, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        wire.decode_reread(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"pid": -1}', "Succession: pid: -1 cannot be used"),
        ('{"pid": true}', "Succession: pid: True cannot be used"),
        ('{"successor": "5981"}', "Succession: successor: '5981' cannot be used"),
        ('{"retiring": 1.0}', "Succession: retiring: 1.0 cannot be used"),
        ('{"state": null}', "Succession: state: None cannot be used"),
        ('{"tail": ["x"]}', "Succession: tail: ['x'] cannot be used"),
    ],
)
def test_a_bad_succession_says_what_is_wrong_with_what(text: str, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        wire.decode_succession(text)
    assert says in str(caught.value)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(BadMessage) as caught:
        wire.decode_succession(json.dumps({"pid": "x" * 100_000}))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("myapp:myapp.successor", "myapp"),
        ("myapp:myapp.retiring", "myapp"),
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
