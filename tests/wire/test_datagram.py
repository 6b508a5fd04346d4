"""The readiness datagram: what goes in comes out, and what is none is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.datagram import MAX_BYTES, decode, encode, encoded
from supervisor_roll.wire.messages import KINDS, Ack, BackingOff, Failed, Message, Ready, Unready

BRIEF = settings(deadline=None, derandomize=True, database=None, max_examples=100)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
TRICKY = st.text(st.sampled_from("\\nr\n\r=\x00é€𝄞 \x85\u2028"))
LINE = st.text(st.sampled_from("ab\\n\r=\x00é€𝄞 \x85\u2028"), min_size=1)
VALUES: dict[str, st.SearchStrategy[object]] = {
    "str": TEXT | TRICKY,
    "bool": st.booleans(),
    "int": st.integers(-(10**14), 10**14),
    "float": st.floats(-1e14, 1e14),
    "tuple[str, ...]": st.lists(LINE, max_size=3).map(tuple),
}


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any message, with any of its fields."""
    kind = draw(st.sampled_from([*KINDS.values()]))
    said = draw(st.sets(st.sampled_from(sorted(kind.fields)), max_size=8)) if kind.fields else ()
    return kind(**{one: draw(VALUES[kind.fields[one].removesuffix(" | None")]) for one in said})


@BRIEF
@given(messages())
def test_any_message_comes_back_as_it_was(message: Message):
    data = encode(message)
    assert decode(data) == message
    assert len(data.split(b"\n")) == 1 + len(vars(message))


def test_it_has_the_form_of_sd_notify():
    assert encode(Ready(age=3, surplus=True, boot_secs=1.5, binds=("a:1", "b:2"))) == (
        b"READY=1\nAGE=3\nSURPLUS=1\nBOOT_SECS=1.5\nBINDS=a:1\\nb:2"
    )
    assert encode(BackingOff()) == b"BACKING_OFF=1"


def test_what_is_not_said_has_its_default_and_none_is_not_said():
    message = decode(encode(Ready(status=None)))
    assert isinstance(message, Ready)
    assert (message.age, message.changes, message.status) == (None, -1, None)
    assert (message.surplus, message.binds, message.boot_secs) == (False, (), 0.0)


def test_what_it_is_not_known_to_say_is_left_out():
    assert decode(b"READY=1\nAGE=3\nCOLOUR=green\nERROR=of another kind") == Ready(age=3)


def test_a_message_shows_what_it_says():
    assert repr(Ready(age=3)) == "Ready(age=3)"
    assert Ready(age=3) != Unready(age=3)


def test_text_that_is_not_unicode_is_sent_in_escapes():
    message = decode(encode(Unready(status="caf\udce9")))
    assert isinstance(message, Unready)
    assert message.status.startswith("caf")


@BRIEF
@given(st.integers(0, 3 * MAX_BYTES), TEXT, st.sampled_from("a\\\né€𝄞"))
def test_a_cut_keeps_the_limit_and_the_end_of_the_longest_field(size: int, end: str, letter: str):
    end = end[-80:]
    message = Failed(age=7, traceback=letter * size + end, error="Oops")
    data = encode(message)
    assert len(data) <= MAX_BYTES
    came = decode(data)
    assert isinstance(came, Failed)
    assert (came.age, came.error) == (7, "Oops")
    assert came.traceback.endswith(end)
    assert message.traceback.endswith(came.traceback)
    if came.traceback != message.traceback:
        assert len(data) > MAX_BYTES - 8, "more was cut than had to be"


@BRIEF
@given(st.lists(st.integers(0, 2 * MAX_BYTES), min_size=5, max_size=5))
def test_several_long_fields_are_all_cut_until_they_fit(sizes: list[int]):
    names = ("status", "gunicorn", "missing", "stale", "conf")
    fields = {name: "x" * size + name for name, size in zip(names, sizes, strict=True)}
    data = encode(Unready(**fields))
    assert len(data) <= MAX_BYTES
    for name, value in vars(decode(data)).items():
        assert value and fields[name].endswith(value)


@BRIEF
@given(st.integers(0, 2 * MAX_BYTES), st.integers(0, 2 * MAX_BYTES))
def test_what_was_encoded_beforehand_is_said_beside_the_rest(before: int, after: int):
    facts = {"gunicorn": "27.0.1", "stale": "x" * before, "workers": 4, "conf": None}
    message: Any = Unready
    data = encode(message(encoded=encoded(facts), status="y" * after, age=None))
    assert len(data) <= MAX_BYTES
    came = decode(data)
    assert isinstance(came, Unready)
    assert (came.gunicorn, came.workers) == ("27.0.1", 4)
    assert bool(came.stale) == bool(before) and bool(came.status) == bool(after)
    assert "conf" not in vars(came) and "age" not in vars(came)
    if before + after < MAX_BYTES // 2:
        assert (len(came.stale), len(came.status)) == (before, after)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"READY",
        b"READY=",
        b"READY=0",
        b"READY=11",
        b"ready=1",
        b"AGE=1",
        b" READY=1",
        b"READY=1\nAGE",
        b"READY=1\n=1",
        b"READY=1\nAGE=1\n\xff",
        b"\xff\xfe",
        b"READY=1\x00",
        b"STATUS=1\nREADY=1",
        b"READY=1\r\nAGE=1",
        b"READY=1\n" + b"A=" + b"x" * MAX_BYTES,
    ],
)
def test_garbage_is_a_bad_message(data: bytes):
    with pytest.raises(BadMessage):
        decode(data)


KEYS = sorted({name.upper() for kind in KINDS.values() for name in kind.fields})
ODD = st.sampled_from(["", "1", "-1", "1.9", "1e14", "nan", "\\", "\\n"])
LINES = st.lists(st.tuples(st.sampled_from(KEYS), ODD | TRICKY).map("=".join), max_size=6)
KNOWN = st.tuples(st.sampled_from(sorted(KINDS)), LINES).map(
    lambda of: "\n".join([f"{of[0]}=1", *of[1]]).encode()
)


@BRIEF
@given(st.binary(max_size=200) | KNOWN)
def test_any_bytes_are_a_message_or_a_bad_message(data: bytes):
    try:
        message = decode(data)
    except BadMessage:
        return
    assert KINDS[message.kind] is type(message)
    assert decode(encode(message)) == message


def test_a_bad_message_does_not_repeat_all_of_what_was_sent():
    for data in (b"x" * 5000, b"READY=1\nAGE=" + b"x" * 5000):
        with pytest.raises(BadMessage) as caught:
            decode(data)
        assert len(str(caught.value)) < 200


def test_a_number_is_read():
    assert decode(b"READY=1\nAGE=12\nCHANGES=-1\nBOOT_SECS=1.5\nTIMEOUT=30") == Ready(
        age=12, changes=-1, boot_secs=1.5, timeout=30.0
    )
    assert decode(b"ACK=1\nDRAIN_SECS=0.5") == Ack(drain_secs=0.5)


@pytest.mark.parametrize("field", ["AGE", "BOOT_SECS", "TIMEOUT", "CONFIGURED"])
@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "1e15", "1 2"])
def test_what_is_no_number_is_a_bad_message(field: str, text: str):
    with pytest.raises(BadMessage, match=rf"READY: {field}=.* is not a number"):
        decode(f"READY=1\n{field}={text}".encode())
