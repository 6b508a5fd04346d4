"""What the doctor says: one sentence, how bad it is, where it is, and what to do about it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from supervisor_roll.wire.printable import printable

OK, WARNING, ERROR = "ok", "warning", "error"
# The exit status is that of the worst finding.
STATUS = {OK: 0, WARNING: 1, ERROR: 2}
# Of the lines of --json: a new key does not change it.
VERSION = 1
_WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """``where`` names the section and the file; ``check`` and ``program`` are filled in later."""

    level: str
    text: str
    where: str = ""
    cure: str = ""
    check: str = ""
    program: str = ""

    def lines(self) -> Iterator[str]:
        """As it is shown to a person."""
        yield from _wrapped(f"{self.level:<9}", f"{self.text}")
        if self.level != OK:
            if self.where:
                yield from _wrapped(" " * 9 + "in: ", self.where)
            if self.cure:
                yield from _wrapped(" " * 9 + "do: ", self.cure)

    def json(self) -> str:
        """As it is shown to a script."""
        return json.dumps({"version": VERSION, "type": "finding", **vars(self)})


def ok(text: str, where: str = "") -> Finding:
    return Finding(OK, text, where)


def warning(text: str, where: str = "", cure: str = "") -> Finding:
    return Finding(WARNING, text, where, cure)


def error(text: str, where: str = "", cure: str = "") -> Finding:
    return Finding(ERROR, text, where, cure)


def _wrapped(head: str, text: str) -> list[str]:
    # What comes from files of others must not steer a terminal.
    return textwrap.wrap(
        printable(" ".join(text.split())),
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
