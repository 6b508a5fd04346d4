"""How a worker has lived: by what it said, what its rollout wants of it, and the kernel."""

from __future__ import annotations

from supervisor_roll.listener.arbiters.arbiter import Worker
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.words import BAKING, BOOTING, DRAINING, FAILED, GONE, READY


def life_of(
    worker: Worker,
    instance: Instance | None,
    began: float,
    wall: float,
    now: float,
    promoted_at: float = 0.0,
    ended: str | None = None,
    outdated: bool = False,
) -> WorkerLife:
    """Return its life: ``instance`` is what it is to a rollout, if there is one.

    ``wall`` is in seconds since the epoch, as are ``began`` and ``promoted_at`` (0: it was not),
    ``now`` is on the clock. It lives, or has just ``ended``: how, as far as the kernel tells.
    """
    fresh = instance is not None and instance.fresh and not instance.kept
    outdated = not instance.fresh if instance is not None else outdated
    retiring_at = None
    if instance is not None and instance.wanted_gone:
        retiring_at = round(min(wall, wall - (now - instance.asked_at)), 2)
    elif outdated and promoted_at:
        retiring_at = round(promoted_at, 2)
    # Two clocks are never read at once: to the hundredth it is the same each time.
    began, wall = round(began, 2), round(wall, 2)
    gone = ended is not None
    was_ready = worker.ready or worker.boot_secs > 0
    untried = fresh and instance is not None and not instance.available
    sick = worker.unhealthy and not worker.ready and bool(worker.health)
    if worker.failed or sick or (gone and untried and retiring_at is None):
        state = FAILED
    elif gone:
        state = GONE
    elif retiring_at is not None:
        state = DRAINING
    elif not worker.ready:
        state = BOOTING
    else:
        state = BAKING if untried else READY
    return WorkerLife(
        worker.id.pid,
        state,
        outdated,
        began,
        round(min(began + worker.boot_secs, wall), 2) if was_ready else None,
        retiring_at,
        wall if gone else None,
        _how(worker, instance, gone and retiring_at is None, ended or ""),
        worker.boot_secs,
        worker.health,
        worker.release,
    )


def _how(worker: Worker, instance: Instance | None, unasked: bool, ended: str) -> str:
    """Say what was unusual about its end; empty if nothing was."""
    said = worker.failed or worker.leaving
    if said or instance is None:
        return said or ended
    if instance.escalations:
        drains = instance.drains and instance.escalations == 1
        return f"it did not leave in time, and was sent {'ABRT' if drains else 'KILL'}"
    return ": ".join(filter(None, ["it exited on its own" if unasked else "", ended]))
