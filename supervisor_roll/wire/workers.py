"""The workers of each program as whoever watches them sees them.

The listener tells of them only while somebody watches: in an ``Exchange``, by program and pid, a
text each. supervisord hands out these texts as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.wire.codec import to_json

# What was asked for in so many seconds is watched.
WATCHED_SECS = 5.0
MAX_WORKERS_CHARS = 1024 * 1024


@dataclass(frozen=True)
class Workers:
    """Those that run now, and in a rollout under way those that have gone meanwhile.

    ``at``: when the listener told last, in seconds since the epoch; 0: not since somebody watches.
    """

    programs: dict[str, list[WorkerLife]] = field(default_factory=dict)
    at: float = 0.0


def workers_text(programs: Mapping[str, Mapping[str, str]], at: float) -> str:
    """Return the JSON text of ``Workers``, of whose rows there is text already."""
    rows = (f"{to_json(name)}: [{', '.join(texts.values())}]" for name, texts in programs.items())
    return f'{{"programs": {{{", ".join(rows)}}}, "at": {to_json(at)}}}'
