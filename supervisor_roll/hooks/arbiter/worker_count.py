"""Our part of the hooks that run in Gunicorn's arbiter.

The arbiter is told how many workers to have by signals, which carry no reason. So the
hooks keep what a rollout needs to be undone: a worker born of TTIN is *surplus* until a TTOU
has retired an older one for it, and a surplus worker that exits is not replaced. That is
how a rollout stops exactly what it started: TTOU alone would retire the oldest, a good one.

Once a worker has been ready, a failed boot does not halt the arbiter any more (the guard; its
other parts are in ``boot`` and ``forking``). A first start that fails does, so that supervisord
sees it.

Up to Gunicorn 23 ``child_exit`` runs inside the SIGCHLD handler: nothing here logs, locks
or waits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from supervisor_roll.hooks import places
from supervisor_roll.hooks.arbiter import heritage, socket_handoff
from supervisor_roll.hooks.arbiter.config_file import Configured
from supervisor_roll.hooks.arbiter.fork_guard import ForkGuard
from supervisor_roll.hooks.arbiter.state import LOSS, START, TTIN, ArbiterState
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.safely import safely
from supervisor_roll.hooks.shared_memory import ATTRIBUTE, WorkerPage, page_of
from supervisor_roll.wire.messages import Counted, Counting, Reloaded

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Worker

NO_STATUS = -1


def starting(server: Arbiter) -> None:
    """``on_starting``; or, without that hook, as soon as a worker is planned."""
    state = ArbiterState.of(server)
    if not state.guards_forks:
        state.guards_forks = True
        ForkGuard(server, state)
        # Not on the class: only for this arbiter.
        server.handle_ttin = partial(_one_more, server, state)


def _one_more(server: Arbiter, state: ArbiterState) -> None:
    """TTIN. As Gunicorn's, but for two waits.

    Gunicorn pauses for up to 0.1 s after a fork. And it counts a worker that drains as one it
    has: the next one would not be forked before that is gone. The surplus that it then sees is
    the very worker that drains, its oldest, which it merely TERMs again.
    """
    state.change_count(server, server.num_workers + 1, TTIN)
    server.spawn_worker()


def count_changed(server: Arbiter, new: int, old: int | None) -> None:
    """``nworkers_changed``: TTIN and TTOU change the count by one, HUP to what is configured."""
    state = ArbiterState.of(server)
    state.hears_counts = True
    state.page.set_count(new)
    if old is not None and new < old:
        _put_due_first(server)
    by = state.count_changes_by
    if old is None or new == old or by == START:
        return
    if by == TTIN:
        state.surplus_births += 1
    elif new < old and by != LOSS:
        _settle(server, state)
    _tell(Counted, state)


def reloaded(server: Arbiter) -> None:
    """``on_reload``."""
    state = ArbiterState.of(server)
    _tell(Reloaded, state, uid=server.cfg.uid)
    if state.takeover is not None:
        state.takeover.reloaded()
    socket_handoff.reloaded(server)
    state.configured = Configured.of(server)
    state.places = places.reloaded(server, state.places)


def worker_planned(server: Arbiter, worker: Worker) -> None:
    """``pre_fork``."""
    state = ArbiterState.of(server)
    state.page.set_count(server.num_workers)
    starting(server)
    if state.page.armed:
        # Gunicorn halts, with all its healthy workers, when one leaves with either status
        # (benoitc/gunicorn#2443). No exit status is below 0. (It may be None: for a signal.)
        server.WORKER_BOOT_ERROR = server.APP_LOAD_ERROR = NO_STATUS
    page = WorkerPage()
    if state.surplus_births:
        state.surplus_births -= 1
        page.surplus = True
    setattr(worker, ATTRIBUTE, page)
    safely(heritage.prepare, server, worker)


def worker_exited(server: Arbiter, worker: Worker) -> None:
    """``child_exit``."""
    page = page_of(worker)
    if page is None:
        return
    surplus, ready = page.surplus, page.ready
    page.close()
    state = ArbiterState.of(server)
    if not ready and not surplus:
        state.page.boot_failed()
    if surplus:
        state.lower(server)


def _put_due_first(server: Arbiter) -> None:
    """Let the arbiter retire first what is due to be replaced: it retires its oldest."""
    for worker in list(server.WORKERS.values()):
        page = page_of(worker)
        if page is not None and page.retire_age:
            worker.age = page.retire_age


def _settle(server: Arbiter, state: ArbiterState) -> None:
    """One older worker leaves for a surplus one: a ready one, the oldest of them."""
    if state.surplus_births:
        state.surplus_births -= 1
        return
    surplus = []
    for worker in list(server.WORKERS.values()):
        page = page_of(worker)
        if page is not None and page.surplus:
            surplus.append((not page.ready, worker.age, page))
    if surplus:
        min(surplus, key=lambda one: one[:2])[2].surplus = False


def _tell(kind: type[Counting], state: ArbiterState, **fields: Any) -> None:
    changes, count = state.page.count()
    Channel(patience_secs=0).tell(kind(changes=changes, workers=count, **fields))
