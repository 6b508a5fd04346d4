"""What a plan decides: the next move of a rollout."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor_roll.rollout.events import Whose
from supervisor_roll.rollout.instances import Instance

ADD = "add"  # have the arbiter run one more (TTIN)
REMOVE = "remove"  # have the arbiter retire its oldest, which is ``instance`` (TTOU)
RETIRE = "retire"  # ask ``instance`` itself to go; the arbiter replaces it
STOP = "stop"  # ask ``instance``, which this rollout started, to go
WAIT = "wait"  # nothing moves; look again at ``until``, if not before
SETTLE = "settle"  # the same, and only the worker count is waited for
END = "end"  # the rollout has come to its end; ``why`` is what is to be added to its reason
# Strategy arbiter alone:
START, PROMOTE, DISCARD = "start", "promote", "discard"  # ask supervisord for it
KEEP = "keep"  # the successor is needed, until ``until``, though the rollout is to end without it
RETRY = "retry"  # ask the old arbiter once more for its workers


@dataclass(frozen=True)
class Move:
    """One decision. ``whose`` arbiter adds or removes."""

    kind: str
    instance: Instance | None = None
    whose: Whose = Whose.ARBITER
    until: float | None = None
    why: str = ""
