"""What has been tried with a process: what it was last rolled with, and what failed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Attempt:
    """What there is to roll: a change, by its digest, and watched paths' fingerprints."""

    digest: str = ""
    paths: dict[str, str] = field(default_factory=dict)


@dataclass
class Attempts:
    """``attempt`` was handed out to be rolled, or is under way."""

    digest: str = ""  # of the change that was last rolled, or failed
    rolled: dict[str, str] = field(default_factory=dict)  # what it was rolled with; first seen
    failed: dict[str, str] = field(default_factory=dict)  # fingerprints that failed since
    attempt: Attempt | None = None

    def new(self, paths: Mapping[str, str]) -> list[str]:
        """Return the paths that justify a rollout. A path where nothing is does not."""
        there = {path: one for path, one in paths.items() if one}
        if all(self.failed.get(path) == one for path, one in there.items()):
            return []
        return [path for path, one in there.items() if self.rolled.get(path) != one]

    def settle(self, changed: bool, paths: Mapping[str, str]) -> bool:
        """Forget attempts whose change was reverted; True if anything was forgotten."""
        before = self.digest, self.failed
        if not changed:
            self.digest = ""
        if all(self.rolled.get(path) == one for path, one in paths.items()):
            self.failed = {}
        return before != (self.digest, self.failed)

    def ended(self, ok: bool) -> None:
        """Note that the attempt's rollout is complete (``ok``), or never will be."""
        attempt, self.attempt = self.attempt or Attempt(), None
        self.digest = attempt.digest
        self.failed = {} if ok else attempt.paths
        if ok:
            self.rolled |= attempt.paths


@dataclass
class Saved:
    """What a listener that is started later must know of what was tried."""

    tried: dict[str, Attempts] = field(default_factory=dict)
    resized: dict[str, list[str]] = field(default_factory=dict)  # group -> what it gains and loses
    groups: dict[str, list[str]] = field(default_factory=dict)
