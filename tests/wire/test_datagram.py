"""The readiness datagram: what goes in comes out, and what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.datagram import KINDS, MAX_BYTES, READY, UNREADY, Message, decode, encode

BRIEF = settings(deadline=None, derandomize=True, database=None, max_examples=100)
KIND = st.sampled_from(sorted(KINDS))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TRICKY = st.text(st.sampled_from("\\nr\n\r=\x00é€𝄞 \x85\u2028"))
KEYS = st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), min_size=1, max_size=20)


@BRIEF
@given(KIND, st.dictionaries(KEYS, TEXT | TRICKY, max_size=8))
def test_any_text_comes_back_as_it_was(kind: str, fields: dict[str, str]):
    message = Message(kind, fields)
    data = encode(message)
    assert decode(data) == message
    assert len(data.split(b"\n")) == 1 + len(fields)


def test_it_has_the_form_of_sd_notify():
    assert encode(Message(READY, {"AGE": "3", "STATUS": "200 OK"})) == (
        b"READY=1\nAGE=3\nSTATUS=200 OK"
    )


def test_text_that_is_not_unicode_is_sent_in_escapes():
    message = decode(encode(Message(UNREADY, {"STATUS": "caf\udce9"})))
    assert message.fields["STATUS"].startswith("caf")


@BRIEF
@given(st.integers(0, 3 * MAX_BYTES), TEXT, st.sampled_from("a\\\né€𝄞"))
def test_a_cut_keeps_the_limit_and_the_end_of_the_longest_field(size: int, end: str, letter: str):
    end = end[-80:]
    message = Message(UNREADY, {"AGE": "7", "STATUS": letter * size + end, "CLASS": "sync"})
    data = encode(message)
    assert len(data) <= MAX_BYTES
    fields = decode(data).fields
    assert (fields["AGE"], fields["CLASS"]) == ("7", "sync")
    assert fields["STATUS"].endswith(end)
    assert message.fields["STATUS"].endswith(fields["STATUS"])
    if fields["STATUS"] != message.fields["STATUS"]:
        assert len(data) > MAX_BYTES - 8, "more was cut than had to be"


@BRIEF
@given(st.lists(st.integers(0, 2 * MAX_BYTES), min_size=1, max_size=5))
def test_several_long_fields_are_all_cut_until_they_fit(sizes: list[int]):
    fields = {f"F{at}": "x" * size + str(at) for at, size in enumerate(sizes)}
    data = encode(Message(UNREADY, fields))
    assert len(data) <= MAX_BYTES
    for key, value in decode(data).fields.items():
        assert value and fields[key].endswith(value)


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


@BRIEF
@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda rest: b"READY=1\n" + rest))
def test_any_bytes_are_a_message_or_a_bad_message(data: bytes):
    try:
        message = decode(data)
    except BadMessage:
        return
    assert message.kind in KINDS
    assert decode(encode(message)) == message


def test_a_bad_message_does_not_repeat_all_of_what_was_sent():
    with pytest.raises(BadMessage) as caught:
        decode(b"x" * 5000)
    assert len(str(caught.value)) < 200


def test_a_number_is_read():
    message = Message(READY, {"AGE": "12", "BOOT_SECS": "1.5", "NEGATIVE": "-1"})
    assert message.number("AGE") == 12
    assert message.number("BOOT_SECS") == 1.5
    assert message.number("NEGATIVE") == -1
    assert message.number("MISSING", 0.0) == 0.0


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "1e15", "1 2"])
def test_what_is_no_number_is_a_bad_message(text: str):
    with pytest.raises(BadMessage, match=r"READY: AGE=.* is not a number"):
        Message(READY, {"AGE": text}).number("AGE", 1.0)


def test_a_missing_number_is_a_bad_message():
    with pytest.raises(BadMessage, match="READY: AGE=None is not a number"):
        Message(READY).number("AGE")
