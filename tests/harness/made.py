"""What fixtures make several of in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

T = TypeVar("T")


def made(make: Callable[..., T], end: Callable[[T], None]) -> Iterator[Callable[..., T]]:
    """For a fixture to yield from: calls ``make``, and at its end ``end`` with all that it made."""
    with ExitStack() as stack:

        def one(*arguments: Any, **named: Any) -> T:
            it = make(*arguments, **named)
            stack.callback(end, it)
            return it

        yield one
