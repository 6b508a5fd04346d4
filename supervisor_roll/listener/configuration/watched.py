"""The configuration as it is now, for all who need it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from supervisor_roll.listener.configuration import sections
from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.configuration.supervisor_files import included
from supervisor_roll.listener.edges.file_watch import fingerprint

# What mends a bad one may be in a file that only the mended one names.
BAD_SECS = 1.0
LATELY_SECS = 1.0


class WatchedConfiguration:
    """Reads the files again when one of them has changed, come or gone."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._good: Configuration | None = None  # the last one
        self._bad: BadConfiguration | None = None  # what is wrong with the files as they are now
        self._seen: dict[str, str] = {}
        self._read_at = -BAD_SECS

    def __call__(self) -> Configuration:
        """Return it. Raises BadConfiguration."""
        if self._good is not None and self._bad is None and _is_short_of_descriptors():
            return self._good  # no folder could be looked into, as if its files were gone
        retries = self._bad is not None and self._clock() >= self._read_at + BAD_SECS
        seen = self._look()
        if seen != self._seen or retries:
            self._read_at, self._bad = self._clock(), None
            try:
                self._good = sections.read(self._path)
                # A file that was known may have changed while it was read.
                self._seen = {path: seen.get(path, one) for path, one in self._look().items()}
            except BadConfiguration as error:
                if self._good is not None and _is_short_of_descriptors():
                    return self._good
                self._seen, self._bad = seen, error
        if self._bad is not None:
            raise self._bad.with_traceback(None)  # it would grow with each raise
        assert self._good is not None
        return self._good

    def _look(self) -> dict[str, str]:
        patterns = self._good.patterns if self._good is not None else ()
        return {path: fingerprint(path) for path in [self._path, *included(patterns)]}


class LastLook:
    """Remembers the configuration as it was when somebody looked last."""

    def __init__(self, look: Callable[[], Configuration], clock: Callable[[], float]) -> None:
        self._look, self._clock = look, clock
        self._seen: Configuration | None = None
        self._at = 0.0

    def __call__(self) -> Configuration:
        """Return it as it is now. Raises BadConfiguration."""
        self._seen = None
        self._seen, self._at = self._look(), self._clock()
        return self._seen

    def lately(self) -> Configuration:
        """Return it as it is now, or was a moment ago: each look is one at every file."""
        if self._seen is None or self._clock() >= self._at + LATELY_SECS:
            return self()
        return self._seen


def _is_short_of_descriptors() -> bool:
    """Tell whether none is left, as for a moment where somebody sends us more than we take."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True
    return False
