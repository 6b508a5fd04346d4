"""Placeholder until the real one is written: decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ROLL, ADOPT, RESIZE, ADD, REMOVE = "roll", "adopt", "resize", "add", "remove"


@dataclass(frozen=True)
class Turn:
    kind: str
    names: list[str]
    reason: str


class Automatic:
    def __init__(self, *_: Callable[..., Any]) -> None:
        self.problems: list[str] = []
        self.unsaved = False

    def tick(self, now: float) -> list[Turn]:
        return []

    def next_deadline(self, now: float) -> float | None:
        return None

    def began(self, namespec: str) -> None: ...

    def ended(self, namespec: str, ok: bool) -> None: ...

    def frozen(self) -> dict[str, Any]:
        return {}

    def thaw(self, frozen: object) -> None: ...

    def update(self, names: list[str]) -> tuple[list[Turn], list[str]]:
        return [], []
