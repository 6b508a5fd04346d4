"""What HAProxy's agent-check is answered: how much of a program can serve now."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor_roll.listener.edges.supervisord import SupervisordError
from supervisor_roll.listener.rollouts.active import INTENDED, ActiveRollouts


def agent_answer(active: ActiveRollouts, namespecs: Iterable[str], drained: Iterable[str]) -> str:
    """Return the line for these processes of one program; empty where nothing is known of them.

    Anybody who may connect reads it. ``drained`` are those that are out of service, which is a
    weight of 0: HAProxy does not take back the word "drain" when it is told "up" again.
    """
    drained, known, ready, desired = set(drained), False, 0, 0
    stopped = ""
    for namespec in namespecs:
        if namespec in drained:
            known = True
            continue
        state = _intended(active, namespec)
        if state:
            known, stopped = True, state
        elif arbiters := active.registry.siblings(namespec):
            known = True
            run = active.runs.get(namespec)
            rollout = run.rolling if run else None
            leaving = {one.id for one in rollout.instances.leaving} if rollout else set()
            desired += rollout.desired if rollout else max(one.count for one in arbiters)
            workers = [one for at in arbiters for one in at.workers.values()]
            ready += sum(one.ready and one.id not in leaving for one in workers)
    if ready:
        return f"up {_percent(ready, desired)}%\n"
    if drained.intersection(namespecs):
        return "up 0% #drain\n"
    return f"down #{stopped or 'no worker is ready'}\n" if known else ""


def _percent(ready: int, desired: int) -> int:
    """Return the share, which is not 0 as long as one is ready: that would be a drain."""
    return max(1, min(100, 100 * ready // max(1, desired)))


def _intended(active: ActiveRollouts, namespec: str) -> str:
    """Return the process's state if it was stopped on purpose, or for good."""
    try:
        state = active.registry.states().get(namespec, "")
    except SupervisordError:
        return ""  # what its workers have said is as true as ever
    return f"it is {state}" if state in INTENDED else ""
