"""The file with the rollouts that have ended: SQLite, closed again after each use.

It is written without waiting for the disk: what the machine's crash tears is put aside.
``sqlite3`` is imported where it is used, since a listener that only waits does without its memory.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor_roll.rollout.errors import RollError

if TYPE_CHECKING:
    import sqlite3

# Beside what an operator asked for there are recyclings, which come by themselves, day and night.
MOST_ROLLOUTS, MOST_RECYCLINGS = 800, 200
MOST_CHARS = 40 * 1024 * 1024  # of all; the file has little more
MOST_CHARS_OF_ONE = 1024 * 1024
_VERSION = 1  # of the tables
_LOCKED_SECS = 0.1

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS rollouts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- which no other rollout gets again
    program TEXT NOT NULL,
    past TEXT NOT NULL,  -- JSON: rollout.reports.Past
    reports TEXT NOT NULL,  -- JSON: a list of wire.mailbox.Report
    recycling INTEGER NOT NULL,
    chars INTEGER NOT NULL
);
PRAGMA user_version = {_VERSION};
"""
_FORGET = """
DELETE FROM rollouts WHERE id IN (
    SELECT id FROM (
        SELECT id, recycling,
            ROW_NUMBER() OVER (PARTITION BY recycling ORDER BY id DESC) AS number,
            SUM(chars) OVER (ORDER BY id DESC) AS sum
        FROM rollouts
    )
    WHERE number > CASE recycling WHEN 0 THEN ? ELSE ? END OR sum > ?
)
"""


class Unusable(RollError):
    """The file can neither be read nor written now; the text says why."""


class Entry(NamedTuple):
    """One rollout; ``past`` and ``reports`` are JSON texts."""

    program: str
    past: str
    reports: str
    recycling: bool = False


class HistoryFile:
    """Raises Unusable; then nothing was written."""

    def __init__(self, path: str) -> None:
        self.path = path

    def add(self, entries: list[Entry]) -> None:
        """Add rollouts, and forget the oldest ones where there are too many."""
        with self._opened() as database:
            for one in entries:
                chars = len(one.past) + len(one.reports)
                if chars <= MOST_CHARS_OF_ONE:
                    database.execute(
                        "INSERT INTO rollouts (program, past, reports, recycling, chars)"
                        " VALUES (?, ?, ?, ?, ?)",
                        (one.program, one.past, one.reports, int(one.recycling), chars),
                    )
            database.execute(_FORGET, (MOST_ROLLOUTS, MOST_RECYCLINGS, MOST_CHARS))

    def all(self) -> list[tuple[int, str, str]]:
        """Return the number, program and ``past`` of each rollout, the last first."""
        if not self._is_there:
            return []
        with self._opened() as database:
            rows = database.execute("SELECT id, program, past FROM rollouts ORDER BY id DESC")
            return list(rows)

    def one(self, id: int) -> Entry | None:
        """Return the rollout with that number."""
        if not self._is_there:
            return None
        with self._opened() as database:
            rows = database.execute(
                "SELECT program, past, reports FROM rollouts WHERE id = ?", (id,)
            )
            found = next(iter(rows), None)
            return Entry(*found) if found else None

    @property
    def _is_there(self) -> bool:
        return os.path.lexists(self.path)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open it for one transaction. One that is no database is put aside."""
        import sqlite3

        try:
            self._make_private()
            database = sqlite3.connect(self.path, timeout=_LOCKED_SECS)
            try:
                database.execute("PRAGMA synchronous = OFF")
                [(version,)] = database.execute("PRAGMA user_version")
                if version == 0:
                    database.executescript(_SCHEMA)
                elif version != _VERSION:
                    raise Unusable(f"{self.path}: another release wrote it (version {version})")
                with database:
                    yield database
            finally:
                database.close()
        except (OSError, sqlite3.OperationalError) as error:
            raise Unusable(f"{self.path}: {getattr(error, 'strerror', '') or error}") from error
        except sqlite3.Error as error:
            # Of itself this class says that the file is damaged, or no database.
            aside = self._put_aside() if type(error) is sqlite3.DatabaseError else ""
            raise Unusable(f"{self.path}: {error}{aside}") from error

    def _make_private(self) -> None:
        """Raise OSError where what is there is not a file of ours."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CREAT
        descriptor = os.open(self.path, flags, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise OSError("it is not a file of this user's")
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)

    def _put_aside(self) -> str:
        with contextlib.suppress(OSError):
            Path(self.path).replace(f"{self.path}.corrupt")
            return f"; it is {self.path}.corrupt now, and the history begins anew"
        return ""
