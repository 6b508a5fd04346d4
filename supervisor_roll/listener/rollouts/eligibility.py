"""Why a program cannot be rolled by a strategy, in words that say what to do about it."""

from __future__ import annotations

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.rollout.installing import HOOK_LINE
from supervisor_roll.rollout.settings import Settings

# Gunicorn's worker with ``reload`` serves the traceback in place of an application that has a
# SyntaxError, and is as ready as any.
RELOADS = (
    "it has reload: a worker whose release does not load may serve the error in place of the "
    "application, and each would load a new release on its own; turn reload off, in its "
    "gunicorn.conf.py or its command (--reload)"
)


def why_not_workers(arbiter: Arbiter, settings: Settings) -> str:
    """Why this arbiter's workers cannot be rolled; empty if they can."""
    facts = arbiter.facts
    why = why_not_recycle(arbiter)
    if why:
        return why
    if facts.preload:
        return (
            "it has preload_app: each worker that its arbiter forks runs the code that the "
            "arbiter loaded, so replacing workers changes nothing; use --strategy arbiter"
        )
    if facts.stale:
        return (
            f"its arbiter has imported modules of the application itself: {facts.stale}; "
            "each worker that it forks runs them as they were then, so replacing workers "
            "would not change them; use --strategy arbiter"
        )
    return _why_not_checked(arbiter, settings)


def why_not_recycle(arbiter: Arbiter) -> str:
    """Why no worker of this arbiter can be replaced by one that runs the same; empty if it can."""
    facts = arbiter.facts
    version = facts.gunicorn or "?"
    if facts.missing:
        return (
            f"its Gunicorn runs without the hooks {facts.missing}; "
            f"end its gunicorn.conf.py with: {HOOK_LINE}"
        )
    if facts.reuse_port and arbiter.facts.version >= (24, 0):
        return (
            f"it has reuse_port on Gunicorn {version}: since 24.0 each worker listens on a "
            "socket of its own, and the connections waiting there are lost with it; "
            "turn reuse_port off"
        )
    return ""


def why_not_arbiter(arbiter: Arbiter, settings: Settings) -> str:
    """Why the whole arbiter cannot be replaced; empty if it can."""
    facts = arbiter.facts
    if facts.reuse_port:
        return (
            "it has reuse_port: the kernel would spread connections to the new arbiter before "
            "its workers accept; turn reuse_port off"
        )
    if not facts.listens:
        return (
            "its Gunicorn runs without the hooks on_starting, when_ready and on_exit, or with "
            "those of an earlier version: restart it once; or use --strategy workers, which "
            "does not apply what has changed"
        )
    return _why_not_checked(arbiter, settings)


def owns_sockets(arbiter: Arbiter) -> bool:
    """Whether the arbiter made its sockets itself, rather than got them as descriptors."""
    return not any("fd://" in one for one in arbiter.facts.binds)


def _why_not_checked(arbiter: Arbiter, settings: Settings) -> str:
    """Why the health check that is asked for cannot be made; empty if it can, or none is."""
    if settings.health is not None and arbiter.facts.unchecked:
        return (
            f"health={settings.health.path} cannot be checked inside a worker of class "
            f"{arbiter.facts.worker_class or '?'}; remove it from the program's [roll:] section"
        )
    return ""
