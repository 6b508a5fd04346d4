"""What goes out as JSON comes back unchanged; what is malformed is refused with its place."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from enum import Enum
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_roll.rollout import reports
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire import mailbox, program, successor
from supervisor_roll.wire.codec import from_data, from_json, to_json

TEXT = st.text(max_size=20)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    bool: st.booleans(),
    int: st.integers(-(10**14), 10**14),
    float: st.floats(-1e14, 1e14),
    types.NoneType: st.none(),
    Any: TEXT | st.integers(-9, 9) | st.booleans() | st.lists(st.integers(-9, 9), max_size=3),
}
SHAPES = [
    one
    for module in (mailbox, program, successor, reports)
    for one in vars(module).values()
    if dataclasses.is_dataclass(one) and getattr(one, "__module__", "") == module.__name__
]
KEYS = sorted({field.name for shape in SHAPES for field in dataclasses.fields(shape)})
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | TEXT, inner, max_size=4)
    ),
)


@functools.cache
def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values that the annotation allows."""
    origin, of = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        names = [field.name for field in dataclasses.fields(hint)]
        return st.builds(hint, **{name: values(hints[name]) for name in names})
    if origin is Annotated:
        return st.integers(of[1].start, of[1].stop - 1)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, of))
    if origin is list:
        return st.lists(values(of[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXT, values(of[1]), max_size=3)
    if origin is None:  # a NamedTuple
        return st.tuples(*map(values, get_type_hints(hint).values())).map(hint._make)
    assert origin is tuple
    return st.tuples(*map(values, of))


@given(data=st.data())
@pytest.mark.parametrize("shape", SHAPES)
def test_a_value_comes_back_as_it_was_in_plain_ascii(data: st.DataObject, shape: type) -> None:
    value = data.draw(values(shape))
    text = to_json(value)
    assert text.isascii() and text.isprintable()
    assert from_json(shape, text) == value
    assert from_json(shape, json.dumps({**json.loads(text), "later": [1]})) == value


@given(junk=JUNK)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_other_json_is_refused_or_read_and_never_breaks(junk: object, shape: type) -> None:
    try:
        from_json(shape, json.dumps(junk))
    except BadMessage:
        pass


@settings(max_examples=20, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("shape", SHAPES)
def test_a_text_that_was_mangled_is_refused_or_read(data: st.DataObject, shape: type) -> None:
    text = to_json(data.draw(values(shape)))
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    mangled = text[:begin] + data.draw(TEXT | st.sampled_from('0-"[]{},:\\\0')) + text[end:]
    try:
        value = from_json(shape, mangled)
    except BadMessage:
        return
    assert from_json(shape, to_json(value)) == value


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "[" * 100_000, "NaN", b"{}", None, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_no_json_object_is_refused(shape: type, text: object) -> None:
    with pytest.raises(BadMessage):
        from_json(shape, text)


class Pair(NamedTuple):
    left: int
    right: str = ""


@dataclasses.dataclass
class Inner:
    count: Annotated[int, range(3)]
    texts: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Outer:
    inners: list[Inner]
    pair: Pair | None = None
    points: tuple[tuple[str, float], ...] = ()
    flag: bool = False
    free: Any = None


def test_values_of_values_come_back_with_their_types() -> None:
    value = Outer([Inner(2, {"a": "b"})], Pair(1, "x"), (("y", 0.5), ("z", 1.0)), True, {"a": [1]})
    found = from_json(Outer, to_json(value))
    assert found == value
    assert type(found.pair) is Pair


def test_a_whole_number_may_stand_for_a_number() -> None:
    [(_, number)] = from_data(Outer, {"inners": [], "points": [["y", 3]]}).points
    assert (number, type(number)) == (3.0, float)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "Outer: [] is not an object"),
        ({}, "Outer: missing inners"),
        ({"inners": {}}, "Outer.inners: {} is not a list"),
        ({"inners": [{"count": 0}, {}]}, "Outer.inners.1: missing count"),
        ({"inners": [{"count": 3}]}, "Outer.inners.0.count: 3 is not from 0 to 2"),
        ({"inners": [{"count": True}]}, "Outer.inners.0.count: True is not a whole number"),
        ({"inners": [{"count": 10**400}]}, "is not a whole number below 1e+15"),
        ({"inners": [{"count": 1, "texts": {"k": 5}}]}, "inners.0.texts.k: 5 is not text"),
        ({"inners": [], "pair": [1]}, "Outer.pair: [1] is not a list of 2"),
        ({"inners": [], "pair": [1, 2]}, "Outer.pair.1: 2 is not text"),
        ({"inners": [], "points": [["x", "1"]]}, "Outer.points.0.1: '1' is not a number"),
        ({"inners": [], "points": [["x", float("nan")]]}, "nan is not a number below 1e+15"),
        ({"inners": [], "points": [["x", 1e99]]}, "1e+99 is not a number below 1e+15"),
        ({"inners": [], "flag": 1}, "Outer.flag: 1 is not true or false"),
    ],
)
def test_a_refusal_names_the_place_and_the_rule(data: object, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        from_data(Outer, data)
    assert says in str(caught.value)


def test_a_refusal_is_short() -> None:
    with pytest.raises(BadMessage) as caught:
        from_data(Outer, {"inners": [{"count": 0, "texts": {"k" * 1000: ["x" * 100_000]}}]})
    assert len(str(caught.value)) < 300


def test_what_is_nested_without_end_is_refused() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(BadMessage, match="nested too deeply"):
        from_data(Outer, {"inners": [], "flag": nested})


@pytest.mark.parametrize(
    "text", ['{"names": []' + " " * 100 + "}", '{"names": ["' + "€" * 30 + '"]}']
)
def test_a_text_of_too_many_bytes_is_not_even_parsed(text: str) -> None:
    with pytest.raises(BadMessage, match="more than 80 bytes"):
        from_json(mailbox.Command, text, 80)


class Side(Enum):
    LEFT = "left"
    RIGHT = "right"


class Cell(NamedTuple):
    row: int
    column: int


@dataclasses.dataclass
class Part:
    number: int


@dataclasses.dataclass
class Whole:
    text: str
    inner: Part
    pair: tuple[int, float]
    many: list[Cell] = dataclasses.field(default_factory=list)
    named: dict[str, int] = dataclasses.field(default_factory=dict)
    side: Side | None = None
    anything: Any = None


GOOD: dict[str, Any] = {"text": "x", "inner": {"number": 1}, "pair": [1, 2]}


def test_what_fits_is_built_of_what_json_has_and_what_is_unknown_is_ignored() -> None:
    more = {"many": [[7, 8]], "named": {"a": 1}, "side": "right", "anything": [None], "new": 1}
    assert from_data(Whole, json.loads(json.dumps({**GOOD, **more}))) == Whole(
        "x", Part(1), (1, 2.0), [Cell(7, 8)], {"a": 1}, Side.RIGHT, [None]
    )
    assert from_data(Whole, {**GOOD, "side": None}).side is None


@pytest.mark.parametrize(
    "more",
    [
        {"text": 1},
        {"inner": 3},
        {"inner": {}},
        {"inner": {"number": True}},
        {"inner": {"number": 2**63}},
        {"pair": [1]},
        {"pair": "12"},
        {"pair": [1, float("nan")]},
        {"many": 7},
        {"many": [[7]]},
        {"named": []},
        {"side": "nobody"},
        {"side": []},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        from_data(Whole, {**GOOD, **more})
