"""Rollouts that nobody asks for by name: what is to be done since something has changed.

A process is rolled by itself when its program's section differs from what it runs with, or when
what stands at a path that its program watches differs from what it was last rolled with. That
very difference is tried once: whether its rollout completes or fails, there is another one only
for another difference. So what a failed rollout leaves behind is not rolled again and again,
and neither is a release that ``on_failure`` has put back.

What differs from what runs is for supervisord to say, so that no memory of ours can be wrong
about it. Remembered, and saved, is only what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from supervisor.options import split_namespec

from supervisor_roll.listener.configuration import BadConfiguration, Configuration
from supervisor_roll.listener.supervisord import Refused
from supervisor_roll.listener.watching import POLL_SECS, Watch, fingerprint, included
from supervisor_roll.rollout.settings import WORKERS, Settings
from supervisor_roll.wire.succession import (
    LIVE,
    NEEDS_ARBITER,
    NEEDS_UPDATE,
    Change,
    Reread,
    Resize,
)

ROLL, ADOPT, RESIZE, ADD, REMOVE = "roll", "adopt", "resize", "add", "remove"
# Who reads the configuration for us may have done so a moment ago, before it changed.
DOUBT_SECS = 2 * POLL_SECS
RUNNING = "RUNNING"


@dataclass(frozen=True)
class Turn:
    """What is to be done now, and why. ROLL and ADOPT name processes in order, others a group."""

    kind: str
    names: list[str]
    reason: str
