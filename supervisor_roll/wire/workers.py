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
# In place of a pid: why the program cannot be rolled as it runs now.
RESISTS = ""


@dataclass(frozen=True)
class Workers:
    """Those that run now, and in a rollout under way those that have gone meanwhile.

    ``at``: when the listener told last, in seconds since the epoch; 0: not since somebody watches.
    ``resists`` says of programs why they cannot be rolled as they run now.
    """

    programs: dict[str, list[WorkerLife]] = field(default_factory=dict)
    at: float = 0.0
    resists: dict[str, str] = field(default_factory=dict)


def workers_text(programs: Mapping[str, Mapping[str, str]], at: float) -> str:
    """Return the JSON text of ``Workers``, of whose rows there is text already."""
    rows, resists = [], []
    for name, texts in programs.items():
        rows.append(
            f"{to_json(name)}: [{', '.join(texts[key] for key in texts if key != RESISTS)}]"
        )
        if RESISTS in texts:
            resists.append(f"{to_json(name)}: {texts[RESISTS]}")
    told = {"programs": rows, "resists": resists}
    parts = [f'"{key}": {{{", ".join(texts)}}}' for key, texts in told.items()]
    return f'{{{", ".join(parts)}, "at": {to_json(at)}}}'
