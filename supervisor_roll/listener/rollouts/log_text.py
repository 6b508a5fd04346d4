"""What a rollout has done, in the words of the listener's log."""

from __future__ import annotations

from supervisor_roll.rollout import events as ev


def spoken(action: ev.Action) -> str:
    """Return ``action`` as an operator says it; empty for what is told elsewhere."""
    match action:
        case ev.AddInstance():
            return f"TTIN to the {_arbiter(action)}: one more worker"
        case ev.RemoveOldest():
            return f"TTOU to the {_arbiter(action)}: one worker less"
        case ev.Look():
            return "looks which workers run"
        case ev.StartSuccessor():
            return "starting a successor beside the arbiter"
        case ev.Promote():
            return "the successor takes the program's name, and the old arbiter is asked to go"
        case ev.Discard():
            return "stopping the successor, if there is one; the old arbiter serves on"
        case ev.StopInstance():
            return f"TERM to worker {action.instance.pid}: it is to finish its requests and leave"
        case ev.DumpInstance():
            return f"ABRT to worker {action.instance.pid}, which has not left"
        case ev.KillInstance():
            return f"KILL to worker {action.instance.pid}, which has not left"
    return ""


def _arbiter(action: ev.AddInstance | ev.RemoveOldest) -> str:
    return "successor" if action.whose is ev.Whose.SUCCESSOR else "arbiter"
