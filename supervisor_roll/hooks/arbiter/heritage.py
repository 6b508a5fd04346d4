"""What a worker says of itself that is known before its fork, and so is worked out in the arbiter.

There it is worked out once, in memory that is warm. In a worker each page that is touched is
copied first, which takes longer than the work itself.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from supervisor_roll import __version__ as hooks_version
from supervisor_roll.hooks import places
from supervisor_roll.hooks.arbiter.addresses import inherits, texts_of
from supervisor_roll.hooks.arbiter.socket_handoff import descriptors
from supervisor_roll.hooks.arbiter.stale_code import stale_modules
from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.by_worker_class import has_drain
from supervisor_roll.hooks.install import is_ours
from supervisor_roll.hooks.shared_memory import page_of
from supervisor_roll.wire import places as wire_places
from supervisor_roll.wire.datagram import encode, encoded
from supervisor_roll.wire.messages import Booting
from supervisor_roll.wire.places import CHDIR

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Worker


def prepare(server: Arbiter, worker: Worker) -> None:
    """Before a fork: work out what has changed since the one before."""
    state = ArbiterState.of(server)
    state.booting = b""  # not that of the one before, whatever fails
    seen = len(sys.modules), server.cfg  # HUP makes another configuration
    if seen != state.described_is_of:
        facts = _facts(server, worker, state)
        state.described, state.described_is_of = encoded(facts), seen
        state.bounds_boots = int(facts["gunicorn"].partition(".")[0]) < 22
        state.becomes_other_user = server.cfg.uid != os.geteuid()
        state.drains = has_drain(worker)
    here = places.here(str(server.cfg.chdir))
    state.here = here if here.kind == CHDIR else None
    state.runs = wire_places.encode([here])
    state.import_path = places.import_path()
    if state.here is not None:
        state.booting = _booting(state, worker)
    state.line.renew()
    # They may change at a HUP.
    ours = state.listening and not inherits(server.cfg)
    state.sockets = descriptors(server.LISTENERS) if ours else []


def _booting(state: ArbiterState, worker: Worker) -> bytes:
    changes, count = state.page.count()
    page = page_of(worker)
    fields: dict[str, Any] = {"runs": state.runs, "encoded": state.described}
    surplus = page is not None and page.surplus
    return encode(
        Booting(age=worker.age, changes=changes, workers=count, surplus=surplus, **fields)
    )


def _facts(server: Arbiter, worker: Worker, state: ArbiterState) -> dict[str, Any]:
    from gunicorn import __version__

    cfg = server.cfg
    missing = [] if state.hears_counts else ["nworkers_changed"]
    missing += [] if page_of(worker) else ["pre_fork"]
    return {
        "hooks": hooks_version,
        "gunicorn": __version__,
        "worker_class": f"{type(worker).__module__}.{type(worker).__name__}",
        "preload": bool(cfg.preload_app),
        "reuse_port": bool(cfg.reuse_port),
        "reload": bool(cfg.reload),
        "timeout": cfg.timeout,
        "graceful_timeout": cfg.graceful_timeout,
        "missing": " ".join(missing),
        "stale": " ".join(stale_modules(server)),
        "binds": tuple(texts_of(cfg)),
        "configured": cfg.workers,
        "conf": state.configured.path,
        "conf_digest": state.configured.digest,
        "listens": state.listening and is_ours(cfg.on_exit),
        "places": wire_places.encode(state.places),
    }
