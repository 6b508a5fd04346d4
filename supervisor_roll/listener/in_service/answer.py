"""How much of a program can serve now, and what HAProxy's agent-check is answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from supervisor_roll.listener.rollouts.active import INTENDED, ActiveRollouts


def agent_answer(active: ActiveRollouts, namespecs: Iterable[str], drained: Collection[str]) -> str:
    """Return the line for these processes of one program; empty where nothing is known of them.

    Anybody who may connect reads it. ``drained`` are those that are out of service, which is a
    weight of 0: HAProxy does not take back the word "drain" when it is told "up" again.
    """
    namespecs = list(namespecs)
    # Without them, what its workers have said is as true as ever.
    states = active.registry.states_if_told()
    stopped = {name: states[name] for name in namespecs if states.get(name) in INTENDED}
    counts = [
        found
        for name in namespecs
        if name not in drained and name not in stopped and (found := ready_of(active, name))
    ]
    ready, desired = sum(one[0] for one in counts), sum(one[1] for one in counts)
    if ready:
        # Never 0 as long as one is ready: that would be a drain.
        return f"up {max(1, min(100, 100 * ready // max(1, desired)))}%\n"
    if any(name in drained for name in namespecs):
        return "up 0% #drain\n"
    if counts or stopped:
        return f"down #{'it is ' + min(stopped.values()) if stopped else 'no worker is ready'}\n"
    return ""


def ready_of(active: ActiveRollouts, namespec: str) -> tuple[int, int] | None:
    """Return how many workers can serve and stay, and of how many; None if none has reported."""
    arbiters = active.registry.siblings(namespec)
    if not arbiters:
        return None
    run = active.runs.get(namespec)
    rollout = run.rolling if run else None
    leaving = {one.id for one in rollout.instances.leaving} if rollout else set()
    workers = [one for at in arbiters for one in at.workers.values()]
    ready = sum(one.ready and one.id not in leaving for one in workers)
    return ready, rollout.desired if rollout else max(one.count for one in arbiters)
