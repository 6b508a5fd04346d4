"""What may move next while an arbiter is replaced: a pure reading of where the rollout stands.

The *successor* starts with all of its workers where two full sets may run. Else it starts with one,
and once that is ready it grows as far as the budget leaves room, and then as the old arbiter
shrinks, by no more than are available for it. An arbiter cannot have fewer than one worker, so
with ``max_surge=0`` the last step takes one more than that.

When all of the successor's workers are available it is promoted, which is the point of no
return: it has the program's name, and the old arbiter drains. Until then whatever fails, or
an abort, discards the successor; if the old arbiter had shrunk, it grows back first, while
the successor's workers still serve. The promise: where the old arbiter cannot boot its workers
again, a successor whose workers serve in their place is kept beside it. The old one is asked again
each ``ready_timeout_secs``, until the release or its configuration is repaired. Who wants the
end at any price aborts the rollout once more.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from supervisor_roll.rollout.events import Whose
from supervisor_roll.rollout.instances import Instance, Instances
from supervisor_roll.rollout.moves import (
    ADD,
    DISCARD,
    END,
    KEEP,
    PROMOTE,
    REMOVE,
    RETRY,
    START,
    STOP,
    WAIT,
    Move,
)
from supervisor_roll.rollout.settings import Budget
from supervisor_roll.rollout.timing import BIRTH_SECS
from supervisor_roll.rollout.words import COMPLETE


@dataclass(frozen=True)
class Standing:
    """Where a rollout stands, before the promotion.

    ``count`` and ``successor_count`` are how many workers the two arbiters want, ``goal`` how many
    the successor is to have, ``first`` with how many it begins. ``proved``: one of these was ready,
    and more may be added, of which ``most_boots`` boot at once. ``requested``: what supervisord was
    asked for and is yet to be seen. ``shrunk``: the old arbiter was asked for a worker.
    ``unrecoverable_why`` says why it does not get it back. ``kept_since``: the successor is
    needed though the rollout is over; ``forced``: it is to go all the same.
    """

    instances: Instances
    count: int
    desired: int
    budget: Budget
    floor: int
    ready_timeout_secs: float
    goal: int
    first: int
    successor_count: int = 0
    started: bool = False
    proved: bool = True
    canaries_passed: bool = True
    most_boots: int = sys.maxsize
    crashed: bool = False
    paused: bool = False
    wanted: str = COMPLETE
    signalled: bool = False
    requested: str = ""
    shrunk: bool = False
    old_gone: bool = False
    forced: bool = False
    unrecoverable_why: str = ""
    now: float = 0.0
    turned_at: float = 0.0
    kept_since: float | None = None


def next_move(at: Standing) -> Move:
    """Return the next step that keeps the invariant."""
    return roll(at) if at.wanted == COMPLETE else wind_down(at)


# --- forward -----------------------------------------------------------------------------


def roll(at: Standing) -> Move:
    """Start a successor, bring it up as the old arbiter goes down, and promote it."""
    if at.paused or at.requested or at.signalled:
        return Move(WAIT)
    if not at.started:
        # In place the old arbiter makes room first.
        shrinks = not at.budget.surge and _may_shrink(at, at.desired - at.budget.unavailable)
        return _shrink(at) if shrinks else Move(START)
    if at.crashed:
        return Move(WAIT)

    available = len([one for one in at.instances.fresh if one.available])
    if at.successor_count >= at.goal:
        return Move(PROMOTE if available >= at.goal else WAIT)
    # Before it has its signal handlers, which come before its workers, TTIN would stop it.
    if not at.canaries_passed or not at.proved or not at.instances.fresh:
        return Move(WAIT)
    booting = at.successor_count - len([one for one in at.instances.fresh if one.ready])
    if booting >= at.most_boots:
        return Move(WAIT)
    if at.successor_count + at.count < most(at.desired, at.goal, at.budget) or at.count <= 1:
        return Move(ADD, whose=Whose.SUCCESSOR)
    if available >= at.successor_count and _may_shrink(at, 1):
        return _shrink(at)
    return Move(WAIT)


def most(desired: int, goal: int, budget: Budget) -> int:
    """How many workers the two may have together."""
    return max(desired, goal) + budget.surge


def _may_shrink(at: Standing, least: int) -> bool:
    """Whether the old arbiter can do with one worker less, and still have ``least``."""
    outdated = at.instances.outdated
    if at.count <= max(least, 1) or not 0 < len(outdated) <= at.count:
        return False
    oldest = outdated[0]
    return oldest.loaded and len(at.instances.counted) - oldest.ready >= at.floor


def _shrink(at: Standing) -> Move:
    return Move(REMOVE, at.instances.outdated[0])


# --- back --------------------------------------------------------------------------------


def wind_down(at: Standing) -> Move:
    """Give the old arbiter back what it had, then discard the successor, then end."""
    if at.signalled or at.requested in (PROMOTE, START):
        return Move(WAIT)

    # The old arbiter has its time to get its workers back.
    patience = at.turned_at + 2 * at.ready_timeout_secs
    why = at.unrecoverable_why
    if not why and at.now >= patience:
        why = "its workers were not ready in time"
    wait = Move(WAIT, until=patience if at.now < patience else None)

    # What serves in their place is kept, and the old arbiter asked again now and then.
    needed = is_needed(at)
    if needed and why:
        if at.kept_since is None:
            return Move(KEEP, until=at.now + at.ready_timeout_secs, why=why)
        again = at.kept_since + at.ready_timeout_secs
        return Move(RETRY) if at.now >= again else Move(WAIT, until=again)

    # Nothing is to be given back, or can be: the successor goes.
    outdated = at.instances.outdated
    short = at.count < at.desired
    serves = len(outdated) >= at.count and all(one.ready for one in outdated)
    if at.old_gone or why or not at.shrunk or (serves and not short):
        return _leave(at, why, wait)
    if not short or at.requested:
        return wait

    # Room is made for one more of the old arbiter's: by those of the successor that boot ...
    booting = [one for one in at.instances.fresh if not one.ready]
    if any(_would_be_replaced(at, one) for one in booting):
        return wait if needed else Move(DISCARD)
    if booting:
        return Move(STOP, booting[0])
    members = [one for one in at.instances if one.fresh]
    # One that was asked for just before may be forked by now, and not yet have said so.
    born_by = at.turned_at + BIRTH_SECS
    if len(members) < at.successor_count and at.now < born_by:
        return Move(WAIT, until=born_by)
    if at.count + len(members) < at.desired + max(at.budget.surge, 1):
        return Move(ADD)

    # ... then by one that serves, once what was asked for is there.
    if not serves or any(one.wanted_gone for one in members):
        return wait
    return Move(REMOVE, at.instances.fresh[0], Whose.SUCCESSOR)


def is_needed(at: Standing) -> bool:
    """Whether fewer would be ready without the successor than was promised."""
    if not at.shrunk or at.old_gone or at.forced or at.requested == DISCARD:
        return False
    serving = [one for one in at.instances.outdated if one.ready]
    return len(serving) < min(at.floor, len(at.instances.ready))


def _would_be_replaced(at: Standing, one: Instance) -> bool:
    """Whether the successor forks another for this one, so that there is no end to it."""
    return one.age <= at.first or (one.since > at.turned_at and not one.surplus)


def _leave(at: Standing, why: str, wait: Move) -> Move:
    if at.started:
        return wait if at.requested == DISCARD else Move(DISCARD)
    ready = len([one for one in at.instances.outdated if one.ready])
    short = at.count < at.desired or (at.shrunk and ready < at.desired)
    if not short or at.old_gone:
        return Move(END)
    left = f"the old arbiter is left with {ready} of {at.desired} workers"
    return Move(END, why=f"{left}: {why}" if why else left)
