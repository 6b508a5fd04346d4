"""To be told to go, for a script that has to stop what it has started."""

from __future__ import annotations

import signal
import sys


def exit_when_told() -> None:
    """Leave through the same door, which stops everything, on every way to be told to go."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
