"""What may move next: a pure reading of where a rollout stands. Nothing here changes anything.

The budget is spent like this. With a surge the arbiter runs one more instance while fewer
than ``desired`` are or will be fresh, and the oldest is retired once enough others can be
counted on. Where the oldest is not to go (a rollback replaces the youngest), the one that
is goes instead, its replacement is forked by the arbiter, and the surplus one is a spare that
leaves at the end. Without a surge an outdated one is stopped and its replacement waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervisor_roll.rollout.instances import Instance, Instances
from supervisor_roll.rollout.settings import Budget

ADD = "add"  # have the arbiter run one more
REMOVE = "remove"  # have the arbiter retire its oldest, which is ``instance``
RETIRE = "retire"  # ask ``instance`` itself to go; the arbiter replaces it
DROP_SPARE = "dismiss"  # ask ``instance``, a spare, to go; the arbiter does not replace it

# Fresh instances answer worse than outdated ones if they made so many errors (where the outdated
# ones answered nothing, the second so many), and their share of errors is that much more than
# twice the outdated ones' share.
MIN_ERRORS, MIN_ERRORS_ALONE = 3, 10
MARGIN = 0.05


@dataclass(frozen=True)
class Move:
    kind: str
    instance: Instance | None = None


@dataclass(frozen=True)
class Standing:
    """Where a rollout stands. ``trial``: how many fresh ones there may be for now.

    ``cleared``: whether any may be retired.
    """

    instances: Instances
    count: int
    desired: int
    budget: Budget
    floor: int
    trial: int
    cleared: bool = True


def next_move(at: Standing) -> Move | None:
    """The next step that keeps the invariant; None if there is nothing to do but wait."""
    outdated, up = at.instances.outdated, at.instances.up
    if len(up) > at.count:
        # One has left and was not replaced; that it has exited is yet to be heard.
        return None
    if not outdated:
        return _last_move(at)
    surge = at.budget.surge
    if surge:
        first = outdated[0]
        if _may_retire(at, first):
            return Move(REMOVE if first is up[0] and at.count > 1 else RETIRE, first)
        if at.count < at.desired + surge and at.count - len(outdated) < min(at.desired, at.trial):
            return Move(ADD)
        return _sick_move(at)
    # A sick one first: without it no fewer are ready.
    for one in sorted(outdated, key=lambda one: one.ready):
        if _under_way(at) < at.trial and _may_retire(at, one):
            return Move(RETIRE, one)
    return None


def _last_move(at: Standing) -> Move | None:
    """None is outdated any more: bring the count back."""
    if at.count < at.desired:
        return Move(ADD)
    if at.count > at.desired and len(at.instances.counted) > at.desired:
        spare = [one for one in at.instances.fresh if one.surplus]
        if spare:
            return Move(DROP_SPARE, spare[-1])
        if at.instances.up[0].loaded:
            return Move(REMOVE, at.instances.up[0])
    return None


def _sick_move(at: Standing) -> Move | None:
    """The oldest must stay, and a sick one makes it so: replace that one in place."""
    sick = [one for one in at.instances.outdated if one.can_go and not one.ready]
    settled = all(one.available for one in at.instances.fresh) and not at.instances.leaving
    if sick and settled and at.cleared and len(at.instances.up) >= at.count > at.desired:
        return Move(RETIRE, sick[0])
    return None


def _under_way(at: Standing) -> int:
    """How many fresh instances there are, or will be for what is leaving or has left."""
    fresh = len([one for one in at.instances.fresh if not one.kept])
    leaving = len([one for one in at.instances.leaving if not one.fresh])
    return fresh + leaving + max(0, at.count - len(list(at.instances)))


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
    """Whether the rollout has reached its end."""
    instances = at.instances
    return (
        not instances.outdated
        and not instances.leaving
        and at.count == at.desired == len(instances.up)
        and all(one.kept or (one.ready and one.available) for one in instances.up)
    )
