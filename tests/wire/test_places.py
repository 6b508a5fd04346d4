"""The places that a process tells, in one field of a message."""

from __future__ import annotations

from supervisor_roll.wire.places import MAX_BYTES, PATH, Place, decode, encode


def test_places_are_bounded_and_hold_no_separator() -> None:
    many = [Place(PATH, f"/{number:0500}", "x") for number in range(100)]
    assert len(encode(many).encode()) <= MAX_BYTES
    assert encode([Place("a", "/with\ttab", ""), Place("b", "/line\nend", "")]) == ""
    some = [Place("a", "/b c", "/d", "1:2"), Place("e", "", "")]
    assert decode({"KEY": encode(some)}, "KEY") == some


def test_what_is_no_place_is_left_out() -> None:
    text = "nonsense\n\t\t\t\ndirectory\ta\0b\tc\td\nroot\t/\t/\t1:2"
    assert decode({"KEY": text}, "KEY") == [Place("", "", ""), Place("root", "/", "/", "1:2")]
    assert decode({}, "KEY") == []
