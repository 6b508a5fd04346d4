"""The places that a process tells, in one field of a message."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_roll.wire import datagram
from supervisor_roll.wire.messages import Ready
from supervisor_roll.wire.places import MAX_BYTES, PATH, Place, decode, encode

# Of these a path may have any, but for what separates places.
PATHS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r"), max_size=20
)
PLACES = st.lists(st.builds(Place, PATHS, PATHS, PATHS, PATHS), max_size=4)


def test_places_are_bounded_and_hold_no_separator() -> None:
    many = [Place(PATH, f"/{number:0500}", "x") for number in range(100)]
    assert len(encode(many).encode()) <= MAX_BYTES
    assert encode([Place("a", "/with\ttab", ""), Place("b", "/line\nend", "")]) == ""
    some = [Place("a", "/b c", "/d", "1:2"), Place("e", "", "")]
    assert decode(encode(some)) == some


def test_what_is_no_place_is_left_out() -> None:
    text = "nonsense\n\t\t\t\ndirectory\ta\0b\tc\td\nroot\t/\t/\t1:2"
    assert decode(text) == [Place("", "", ""), Place("root", "/", "/", "1:2")]
    assert decode("") == []


@settings(max_examples=100, deadline=None)
@given(PLACES)
def test_places_come_back_as_they_were_through_a_datagram(places: list[Place]) -> None:
    sent = datagram.decode(datagram.encode(Ready(places=encode(places))))
    assert isinstance(sent, Ready)
    assert decode(sent.places) == places


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("\t\n\r\0\x85\u2028ab"), max_size=40))
def test_any_text_is_places_or_none(text: str) -> None:
    found = decode(text)
    assert encode(decode(encode(found))) == encode(found)
