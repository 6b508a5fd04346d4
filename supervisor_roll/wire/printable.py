"""Text of others, as it may stand on a terminal, in a log, and in XML."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` with a question mark for each character that is more than shown."""
    return "".join(char if char.isprintable() else "?" for char in text)
