"""What goes into the mailbox comes out of it unchanged; what is malformed never gets in."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire import mailbox as wire

TEXT = st.text(max_size=20)
NUMBER = st.floats(-1e12, 1e12)
WHOLE = st.integers(-1000, 10**9)
FACTS = st.dictionaries(
    TEXT, TEXT | WHOLE | NUMBER | st.booleans() | st.lists(WHOLE, max_size=3), max_size=4
)
TEXTS = st.lists(TEXT, max_size=3)
VALUES = st.dictionaries(TEXT, TEXT, max_size=3)
REQUESTS = st.builds(wire.Request, TEXT, TEXT, TEXTS, VALUES, TEXT, NUMBER, st.booleans())
REPORTS = st.builds(wire.Report, TEXT, TEXT, TEXT, FACTS, NUMBER, WHOLE)
STATUSES = st.dictionaries(
    TEXT,
    st.builds(
        wire.Status,
        TEXT,
        NUMBER,
        TEXT,
        TEXT,
        TEXT,
        WHOLE,
        WHOLE,
        WHOLE,
        WHOLE,
        WHOLE,
        st.none() | NUMBER,
        st.lists(WHOLE, max_size=3),
        st.lists(WHOLE, max_size=3),
        st.dictionaries(TEXT, TEXT, max_size=3),
        TEXT,
        st.sampled_from([wire.WORKERS, wire.ARBITER]),
        WHOLE,
        WHOLE,
        WHOLE,
    ),
    max_size=3,
)
JOBS = st.builds(wire.Job, TEXT, TEXT, TEXTS, TEXT)
MESSAGES: list[tuple[st.SearchStrategy[object], Callable[[object], object]]] = [
    (
        st.builds(
            wire.Command,
            st.sampled_from([wire.ROLLOUT, wire.DRY_RUN]),
            st.lists(TEXT, min_size=1, max_size=3, unique=True),
            VALUES,
            TEXT.filter(str.isprintable),
        ),
        wire.decode_command,
    ),
    (
        st.builds(wire.Receipt, TEXT, TEXTS, st.lists(st.tuples(TEXT, TEXT), max_size=3)),
        wire.decode_receipt,
    ),
    (
        st.builds(
            wire.Exchange,
            st.integers(1, 2**22),
            st.booleans(),
            st.none() | TEXT,
            st.lists(REPORTS, max_size=3),
            st.none() | STATUSES,
            TEXTS,
            TEXTS,
        ),
        wire.decode_exchange,
    ),
    (
        st.builds(wire.Delivery, st.lists(REQUESTS, max_size=3), TEXT, TEXT, TEXTS),
        wire.decode_delivery,
    ),
    (
        st.builds(wire.Reports, st.lists(REPORTS, max_size=3), st.booleans(), TEXT),
        wire.decode_reports,
    ),
    (
        st.builds(wire.Overview, STATUSES, st.none() | FACTS, st.lists(JOBS, max_size=3)),
        wire.decode_overview,
    ),
]
DECODERS = [decode for _, decode in MESSAGES]


@given(data=st.data())
@pytest.mark.parametrize(("values", "decode"), MESSAGES)
def test_a_message_comes_back_as_it_was_in_plain_ascii(
    data: st.DataObject, values: st.SearchStrategy[object], decode: Callable[[object], object]
) -> None:
    value = data.draw(values)
    text = wire.encode(value)
    assert text.isascii() and text.isprintable()
    assert decode(text) == value


@given(data=st.data())
@pytest.mark.parametrize(("values", "decode"), MESSAGES)
def test_a_key_of_a_later_release_is_ignored(
    data: st.DataObject, values: st.SearchStrategy[object], decode: Callable[[object], object]
) -> None:
    value = data.draw(values)
    text = json.dumps({**json.loads(wire.encode(value)), "later": [1]})
    assert decode(text) == value


@given(
    st.recursive(
        st.none() | st.booleans() | NUMBER | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "pid",
                        "names",
                        "kind",
                        "reports",
                        "statuses",
                        "id",
                        "programs",
                        "requests",
                        "skipped",
                        "state",
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
        ('{"names": ["a"]}', "Command: missing kind"),
        ('{"kind": "rollout", "names": "a"}', "Command: names: 'a' is not a list"),
        ('{"kind": "rollout", "names": [1]}', "Command: names: 1 is not text"),
        ('{"kind": "rollout", "names": []}', "names is empty"),
        (
            '{"kind": "reboot", "names": ["a"]}',
            "'reboot' is none of rollout, dry-run, update, abort",
        ),
        (
            '{"kind": "rollout", "names": ["a"], "values": {"max_surge": 2}}',
            "values: 2 is not text",
        ),
    ],
)
def test_a_refusal_names_the_message_the_key_and_the_rule(text: str, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        wire.decode_command(text)
    assert says in str(caught.value)


def test_a_status_of_an_earlier_release_has_one_arbiter_and_rolls_workers() -> None:
    found = wire.decode_overview('{"programs": {"a": {"state": "complete", "since": 1}}}')
    one = found.programs["a"]
    assert (one.strategy, one.arbiter, one.successor, one.retiring) == (wire.WORKERS, 0, 0, 0)


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
        '{"pid": 1, "taken": [1]}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": NaN}}}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": 1e99}}}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": 1, "successor": "5981"}}}',
        '{"pid": 1, "statuses": {"a": {"state": "x", "since": 1, "strategy": 1}}}',
    ],
)
def test_a_malformed_exchange_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        wire.decode_exchange(text)
