"""Files that are watched: whether what stands at their paths has changed, and is still now.

Looked at with ``stat`` now and then, since that sees what is asked here on every file system:
a link that leads elsewhere, a file that an editor has put in another's place, and a path
whose folder does not even exist yet.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

# How often there is to look.
POLL_SECS = 1.0


def fingerprint(path: str) -> str:
    """Stands for what is at ``path``, without reading it; empty if nothing is there for us.

    It changes when a file is written, touched, or replaced by another, when a link leads to
    something else, and when an entry is put into a folder or taken out. Not so for a folder
    that a link leads to: that is a release, which its own programs write into when they run
    (compiled Python, a database's journal), and none of that is another release. What matters of
    a link is where it leads: one that is put back to where it led before is as it was.
    """
    try:
        found = os.stat(path)  # noqa: PTH116
        link = os.readlink(path) if os.path.islink(path) else ""  # noqa: PTH114, PTH115
    except (OSError, ValueError):
        return ""
    identity = [found.st_dev, found.st_ino]
    if not (link and stat.S_ISDIR(found.st_mode)):
        identity += [found.st_mtime_ns, found.st_size]
    return " ".join([*map(str, identity), link]).strip()


class FileWatch:
    """Some paths, as they were when last looked at. ``now`` is always seconds on one clock."""

    def __init__(self) -> None:
        self.fingerprints: dict[str, str] = {}
        self._changed_at: dict[str, float] = {}
        self._members_changed_at = float("-inf")

    def look(self, paths: Iterable[str], now: float) -> bool:
        """Look at ``paths``, and at no others any more. Whether anything differs from before."""
        seen = {path: fingerprint(path) for path in paths}
        changed = {path for path, one in seen.items() if self.fingerprints.get(path) != one}
        if self.fingerprints.keys() != seen.keys():
            self._members_changed_at = now
        elif not changed:
            return False
        self._changed_at = {
            path: now if path in changed else self._changed_at[path] for path in seen
        }
        self.fingerprints = seen
        return True

    def still(self, path: str, secs: float, now: float) -> bool:
        """Whether a watched path has been as it is for ``secs``, counted from the look."""
        return now >= self._changed_at[path] + secs

    def all_still(self, secs: float, now: float) -> bool:
        """Whether none has changed, come or gone for ``secs``."""
        return now >= max([self._members_changed_at, *self._changed_at.values()]) + secs
