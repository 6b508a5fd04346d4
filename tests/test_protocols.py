"""What an object lacks of a Protocol is named."""

from __future__ import annotations

from typing import Protocol

from gunicorn.workers.base import Worker

from tests.protocols import lacking


def test_what_is_lacking_is_named() -> None:
    class Wanted(Protocol):
        age: int
        alive: bool
        nosuch: int

        def notify(self, loudly: bool) -> None: ...

        def run(self) -> None: ...

        def rest(self) -> None: ...

    class Wider(Wanted, Protocol):
        more: int

    assert list(lacking(Wanted, Worker)) == [
        "Worker.nosuch is not there",
        "Worker.notify() takes nothing",
        "Worker.rest() is not there",
    ]
    assert "Worker.more is not there" in lacking(Wider, Worker)
