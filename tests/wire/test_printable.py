"""Text of others, as it may be shown."""

from supervisor_roll.wire.printable import printable


def test_what_steers_a_terminal_or_breaks_a_line_is_a_question_mark() -> None:
    assert printable("\x1b[31mred\x07\n\u2028\x00") == "?[31mred????"
    assert printable("Grüße, 世界") == "Grüße, 世界"
