"""What others bring into the listener's log."""

from __future__ import annotations

import logging

from supervisor_roll.listener.__main__ import Lines


def test_it_has_no_control_characters_and_no_lines_that_look_like_ours() -> None:
    text = "\x1b[2J\r\u202e\n2026-01-01 ERROR forged"
    record = logging.LogRecord("x", logging.INFO, "", 1, "release: %s", (text,), None)
    assert Lines("%(levelname)s %(message)s").format(record) == (
        "INFO release: ?[2J??\n    2026-01-01 ERROR forged"
    )
