"""What may move next: a pure reading of where a rollout stands. Nothing here changes anything.

The budget is spent like this. With a surge the arbiter runs one more instance while fewer
than ``desired`` are or will be fresh, and the oldest is retired once enough others can be
counted on. Where the oldest is not to go (a rollback replaces the youngest), the one that
is goes instead, its replacement is forked by the arbiter, and the surplus one is a spare that
leaves at the end. Without a surge an outdated one is stopped and its replacement waited for.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from supervisor_roll.rollout.instances import Instance, Instances
from supervisor_roll.rollout.moves import ADD, END, REMOVE, RETIRE, SETTLE, STOP, WAIT, Move
from supervisor_roll.rollout.settings import Budget, Settings
from supervisor_roll.rollout.timing import REPEATS, SETTLE_SECS
from supervisor_roll.rollout.words import ABORTED, COMPLETE


@dataclass(frozen=True)
class Standing:
    """Where a rollout stands. ``trial``: how many fresh ones there may be for now.

    ``most_boots`` of them may boot at once.
    ``cleared``: whether any may be retired. ``signalled``: a signal is under way, whose effect is
    waited for; ``repeats`` of them were without. ``settling_since``: only the count is waited for.
    """

    settings: Settings
    instances: Instances
    count: int
    desired: int
    budget: Budget
    floor: int
    trial: int
    most_boots: int = sys.maxsize
    cleared: bool = True
    paused: bool = False
    wanted: str = COMPLETE
    signalled: bool = False
    repeats: int = 0
    now: float = 0.0
    turned_at: float = 0.0
    settling_since: float | None = None


def next_move(at: Standing) -> Move:
    """Return the next step that keeps the invariant."""
    if at.wanted != COMPLETE:
        return wind_down(at)
    if at.signalled:
        return Move(WAIT)
    if is_complete(at):
        return Move(END)
    return Move(WAIT) if at.paused else roll(at)


# --- forward -----------------------------------------------------------------------------


def roll(at: Standing) -> Move:
    """Replace the outdated ones."""
    outdated, up = at.instances.outdated, at.instances.up
    if len(up) > at.count:
        # One has left and was not replaced; that it has exited is yet to be heard.
        return Move(WAIT)
    if not outdated:
        return _last_move(at)
    surge = at.budget.surge
    if surge:
        first = outdated[0]
        if _may_retire(at, first):
            return Move(REMOVE if first is up[0] and at.count > 1 else RETIRE, first)
        if at.count < at.desired + surge and _may_add(at):
            return Move(ADD)
        return _unhealthy_move(at)
    # An unhealthy one first: without it no fewer are ready.
    for one in sorted(outdated, key=lambda one: one.ready):
        if _under_way(at) < at.trial and _may_retire(at, one):
            return Move(RETIRE, one)
    return Move(WAIT)


def _may_add(at: Standing) -> bool:
    """Whether one more fresh one is wanted, and may boot now."""
    outdated, fresh = at.instances.outdated, at.instances.fresh
    kept = len([one for one in fresh if one.kept])
    begun = at.count - len(outdated) - kept
    booting = begun - len([one for one in fresh if one.ready and not one.kept])
    return begun < min(at.desired - kept, at.trial) and booting < at.most_boots


def _last_move(at: Standing) -> Move:
    """None is outdated any more: bring the count back."""
    if at.count < at.desired:
        return Move(ADD)
    if at.count > at.desired and len(at.instances.counted) > at.desired:
        spare = [one for one in at.instances.fresh if one.surplus]
        if spare:
            return Move(STOP, spare[-1])
        if at.instances.up[0].loaded:
            return Move(REMOVE, at.instances.up[0])
    return Move(WAIT)


def _unhealthy_move(at: Standing) -> Move:
    """Replace an unhealthy one in place, which makes the oldest one stay."""
    unhealthy = [one for one in at.instances.outdated if one.can_go and not one.ready]
    settled = all(one.available for one in at.instances.fresh) and not at.instances.leaving
    if unhealthy and settled and at.cleared and len(at.instances.up) >= at.count > at.desired:
        return Move(RETIRE, unhealthy[0])
    return Move(WAIT)


def _under_way(at: Standing) -> int:
    """How many fresh instances there are, or will be for what is leaving or has left."""
    fresh = len([one for one in at.instances.fresh if not one.kept])
    leaving = len([one for one in at.instances.leaving if not one.fresh])
    return fresh + leaving + max(0, at.count - len(at.instances.members))


def _may_retire(at: Standing, one: Instance) -> bool:
    """Whether the invariant still holds with ``one`` gone.

    A worker that still boots is not asked to go before its time is up: the signal can be lost.
    """
    if not one.can_go or not at.cleared:
        return False
    left = [other for other in at.instances.counted if other is not one]
    up = len(at.instances.up)
    if at.budget.surge:
        # The count must not fall below the desired one: a bad release could not raise it
        # again. And all that are wanted must have been seen, the surplus ones among them.
        affordable = up >= at.count > at.desired
    else:
        affordable = up > at.desired - at.budget.unavailable
    if one.ready:
        return affordable and len(left) >= at.floor
    # One that serves nobody costs nothing, but the release must have proved itself first.
    return affordable and (not at.budget.surge or any(other.fresh for other in left))


def is_complete(at: Standing) -> bool:
    """Whether all that are wanted are fresh and available, and nothing else is there."""
    instances = at.instances
    return (
        not instances.outdated
        and not instances.leaving
        and at.count == at.desired == len(instances.up)
        and all(one.kept or (one.ready and one.available) for one in instances.up)
    )


# --- back --------------------------------------------------------------------------------


def wind_down(at: Standing) -> Move:
    """Stop what this rollout started, and end once the count is back."""
    for one in at.instances.fresh:
        if one.surplus or _is_hopeless(at, one):
            return Move(STOP, one)

    # What was asked to leave may leave others behind, or be replaced.
    if at.signalled:
        return Move(WAIT)
    for one in at.instances.leaving:
        given_up_at = one.given_up_at(at.settings.drain_timeout_secs)
        if one.harder or at.now < given_up_at:
            return Move(WAIT, until=None if one.harder else given_up_at)

    # One too many that the arbiter would replace goes only with the count.
    if _may_lower(at):
        return Move(REMOVE, at.instances.up[0])

    # An abort in place waits for what replaces the last one that was stopped.
    up = at.instances.up
    settled = at.count <= at.desired and len(up) >= min(at.count, at.desired)
    serving = settled and all(one.ready for one in at.instances.fresh)
    patience = at.turned_at + at.settings.ready_timeout_secs
    if not at.budget.surge and at.wanted == ABORTED and not serving and at.now < patience:
        return Move(SETTLE, until=patience)

    if settled:
        return Move(END)
    until = SETTLE_SECS + (at.now if at.settling_since is None else at.settling_since)
    if at.now < until:
        return Move(SETTLE, until=until)
    return Move(
        END,
        why=f"the worker count is {at.count} with {len(up)} running, {at.desired} are desired",
    )


def _is_hopeless(at: Standing, one: Instance) -> bool:
    """In place: one that had its time to boot as the rollout turned, and has not loaded.

    One that is loaded but fails its check is held, and serves nobody; a replacement of it would
    not be.
    """
    overdue = at.now >= one.since + at.settings.ready_timeout_secs
    return not at.budget.surge and not one.loaded and one.since <= at.turned_at and overdue


def _may_lower(at: Standing) -> bool:
    """Whether one too many runs that its arbiter would replace, and the oldest can go."""
    up = at.instances.up
    if at.count <= at.desired or len(up) <= at.desired or at.repeats > REPEATS:
        return False
    left = [one for one in at.instances.ready if one is not up[0]]
    return up[0].loaded and len(left) >= min(at.floor, len(at.instances.ready))
