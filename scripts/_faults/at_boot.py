"""Releases that cannot boot."""

from __future__ import annotations

from ground import Ground, fault


def _enter(boot: str) -> None:
    @fault(f"boot: {boot}")
    def boots_so(ground: Ground) -> None:
        ground.release(boot)
        ground.roll(good=False)


for _boot in ("raise", "syntax", "exit 0", "exit 1", "exit 3", "_exit 3", "kill", "hang"):
    _enter(_boot)
