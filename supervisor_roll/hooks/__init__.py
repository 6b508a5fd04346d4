"""Gunicorn server hooks: the workers say when they can serve, the arbiter how many it wants.

In gunicorn.conf.py, as the last line::

    from supervisor_roll.hooks import install; install(globals())

or, with no configuration file at all, ``gunicorn -c python:supervisor_roll.hooks``. Each hook
can also be imported by its name.

We are guests here. Only the standard library is used. No hook raises into Gunicorn (but one:
``on_starting`` ends an arbiter that was to start beside another and would harm that one) or
waits for longer than ``channel.PATIENCE_SECS`` in all (but such an arbiter, before it begins),
and nothing is kept in this module: what the arbiter must remember hangs on its Arbiter and
Worker objects.

With ``-c python:`` Gunicorn takes each global that bears a setting's name as that setting,
so everything else here is imported under a name with an underscore.
"""

from __future__ import annotations

from collections.abc import Callable as _Callable
from typing import TYPE_CHECKING
from typing import Any as _Any

from supervisor_roll.hooks.arbiter import preflight as _preflight
from supervisor_roll.hooks.arbiter import retiring as _retiring
from supervisor_roll.hooks.arbiter import socket_handoff as _socket_handoff
from supervisor_roll.hooks.arbiter import successor_start as _successor_start
from supervisor_roll.hooks.arbiter import wakeup as _wakeup
from supervisor_roll.hooks.arbiter import worker_count as _worker_count
from supervisor_roll.hooks.install import install_into as _install_into
from supervisor_roll.hooks.safely import safely as _safely
from supervisor_roll.hooks.worker import readiness as _readiness

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter as _Arbiter
    from supervisor_roll.hooks.gunicorn_types import Worker as _Worker


def on_starting(server: _Arbiter) -> None:
    """End a preflight before it has sockets; else get those that are kept for the arbiter."""
    _safely(_preflight.starting, server)
    _safely(_worker_count.starting, server)
    _safely(_successor_start.starting, server)


def when_ready(server: _Arbiter) -> None:
    """Have the listener keep the sockets of an arbiter that listens, and let it retire.

    Signals wake it at once from then on.
    """
    _safely(_wakeup.prepare, server)
    _safely(_retiring.prepare, server)
    _safely(_socket_handoff.ready, server)


def on_exit(server: _Arbiter) -> None:
    """Remove the Unix sockets of an arbiter that has stopped, if nobody else serves there."""
    _safely(_socket_handoff.stopped, server)


def nworkers_changed(server: _Arbiter, new_value: int, old_value: int | None) -> None:
    """Tell the listener that the arbiter wants another number of workers."""
    _safely(_worker_count.count_changed, server, new_value, old_value)


def on_reload(server: _Arbiter) -> None:
    """Tell the listener that the arbiter was sent HUP."""
    _safely(_worker_count.reloaded, server)


def pre_fork(server: _Arbiter, worker: _Worker) -> None:
    """Give a worker that is about to be forked the page that it shares with its arbiter."""
    _safely(_worker_count.worker_planned, server, worker)


def post_fork(server: _Arbiter, worker: _Worker) -> None:
    """Report that a worker was forked and boots."""
    _safely(_readiness.forked, server, worker)


def post_worker_init(worker: _Worker) -> None:
    """Check the health of a worker that has loaded its application, and see to its ready."""
    _safely(_readiness.initialized, worker)


def worker_abort(worker: _Worker) -> None:
    """Report that a worker was sent ABRT."""
    _safely(_readiness.aborted, worker)


def worker_exit(server: _Arbiter, worker: _Worker) -> None:
    """Let a worker that leaves do so in peace."""
    _safely(_readiness.leaving, worker)


def child_exit(server: _Arbiter, worker: _Worker) -> None:
    """Replace no surplus worker that is gone."""
    _safely(_worker_count.worker_exited, server, worker)


# What runs first where the user has a hook of the same name. A worker is ready only after the
# user's own post_worker_init; a child that is about to boot is ours before anything can fail.
_HOOKS: dict[str, tuple[_Callable[..., None], str]] = {
    "on_starting": (on_starting, "before"),
    "when_ready": (when_ready, "before"),
    "on_exit": (on_exit, "before"),
    "nworkers_changed": (nworkers_changed, "after"),
    "on_reload": (on_reload, "after"),
    "pre_fork": (pre_fork, "after"),
    "post_fork": (post_fork, "before"),
    "post_worker_init": (post_worker_init, "after"),
    "worker_abort": (worker_abort, "before"),
    "worker_exit": (worker_exit, "after"),
    "child_exit": (child_exit, "before"),
}


def install(namespace: dict[str, _Any]) -> None:
    """Put the hooks into ``namespace``, the globals of a Gunicorn configuration file.

    A hook that is there already keeps running, beside ours, and its errors stay its own.
    Calling it again changes nothing. Raises TypeError for a hook that cannot be called.
    """
    _install_into(namespace, _HOOKS)
