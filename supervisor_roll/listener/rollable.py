"""Why a program cannot be rolled worker by worker, in words that say what to do about it."""

from __future__ import annotations

from supervisor_roll.listener.knowledge import Arbiter
from supervisor_roll.listener.process_table import ProcessTable
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.settings import Settings

HOOK_LINE = "from supervisor_roll.hooks import install; install(globals())"


def objection(arbiter: Arbiter, settings: Settings) -> str:
    """What stands against rolling this arbiter's workers; empty if nothing does."""
    facts = arbiter.facts
    version = facts.get("GUNICORN", "?")
    if facts.get("MISSING"):
        return (
            f"its Gunicorn runs without the hooks {facts['MISSING']}; "
            f"end its gunicorn.conf.py with: {HOOK_LINE}"
        )
    if facts.get("PRELOAD") == "1":
        return (
            "it has preload_app: each worker that its arbiter forks runs the code that the "
            "arbiter loaded, so replacing workers changes nothing; use --strategy arbiter"
        )
    if facts.get("STALE"):
        return (
            f"its arbiter has imported modules of the application itself: {facts['STALE']}; "
            "each worker that it forks runs them as they were then, so replacing workers "
            "would not change them; use --strategy arbiter"
        )
    if facts.get("REUSE_PORT") == "1" and arbiter.gunicorn >= (24, 0):
        return (
            f"it has reuse_port on Gunicorn {version}: since 24.0 each worker listens on a "
            "socket of its own, and the connections waiting there are lost with it; "
            "turn reuse_port off"
        )
    return unchecked(arbiter, settings)


def unchecked(arbiter: Arbiter, settings: Settings) -> str:
    """Why the health check that is asked for cannot be made; empty if it can, or none is."""
    if settings.health is not None and arbiter.facts.get("UNCHECKED") == "1":
        return (
            f"health={settings.health.path} cannot be checked inside a worker of class "
            f"{arbiter.facts.get('CLASS', '?')}; remove it from the program's [roll:] section"
        )
    return ""


def silence(table: ProcessTable, identity: InstanceId) -> tuple[bool, str]:
    """Why a running program's arbiter has not been heard: whether it is a Gunicorn, and the why."""
    own = table.command_line(identity.pid)
    below = (
        []
        if own.startswith("gunicorn: master")
        else [
            pid
            for pid in table.descendants_titled(identity, "gunicorn")
            # An arbiter's workers, which it forked, show its own command line.
            if table.command_line(pid) != own
        ]
    )
    if not below and "gunicorn" in own.lower():
        return True, (
            f"its Gunicorn (pid {identity.pid}) has not been heard: it runs without the hooks, or "
            "was started while this listener was not running and has been idle since; end its "
            f"gunicorn.conf.py with: {HOOK_LINE} -- and restart it once"
        )
    if below:
        return True, (
            f"supervisord runs a wrapper (pid {identity.pid}) around Gunicorn (pid {min(below)}), "
            "so that its signals do not reach the arbiter; in the program's command, write exec "
            "before gunicorn, or start gunicorn directly"
        )
    return False, (f"it is no Gunicorn program (pid {identity.pid}: {own[:120] or 'gone'})")
