"""What a listener that starts after this one must know: as it is saved, and taken up again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.clock import SteadyClock
from supervisor_roll.listener.outbox import kept_within
from supervisor_roll.listener.reconcile.reconciler import Reconciler
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.jobs import Jobs
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.rollout.errors import BadMessage, BadSetting, RollError
from supervisor_roll.wire.codec import from_data, to_json
from supervisor_roll.wire.mailbox import MAX_STATE_CHARS, Status

log = logging.getLogger("supervisor_roll")
_T = TypeVar("_T")

# No machine has been up for that long: a saved time beyond is none.
MOST_SECS = 1e10


class SavedState:
    """Of the arbiters, the runs, the last ends, and what the reconciler has tried."""

    def __init__(
        self,
        active: ActiveRollouts,
        jobs: Jobs,
        reconciler: Reconciler,
        configuration: Callable[[], Configuration],
        clock: SteadyClock,
    ) -> None:
        self._active, self._jobs, self._reconciler = active, jobs, reconciler
        self._configuration, self._clock = configuration, clock

    def text(self) -> str:
        """Return what a listener that starts after this one must know."""
        programs: dict[str, dict[str, list[Any]]] = {}

        def add(namespec: str, kind: str, data: object) -> None:
            programs.setdefault(namespec, {}).setdefault(kind, []).append(data)

        for arbiter in self._active.registry.arbiters.values():
            add(arbiter.namespec, "arbiters", arbiter.to_data())
        for run in self._active.runs.values():
            add(run.namespec, "runs", run.to_data())
        for name, status in self._jobs.statuses.items():
            add(name, "statuses", (name, status))
        kept = kept_within(programs, MAX_STATE_CHARS).values()
        return to_json(
            {
                "clock": self._clock(),
                **{
                    kind: [one for data in kept for one in data.get(kind, [])]
                    for kind in ("arbiters", "runs", "statuses")
                },
                "automatic": self._reconciler.saved(),
            }
        )

    def restore(self, text: str) -> list[Run]:
        """Take up what an earlier listener saved, as far as it can be used; return its runs."""
        state = _object(text)
        then = state.get("clock")
        if isinstance(then, float | int) and 0 <= then < MOST_SECS:
            self._clock.resume(then)
        arbiters = _usable(state, "arbiters", Arbiter.from_data)
        runs = _usable(state, "runs", self._run)
        self._jobs.statuses = dict(
            _usable(state, "statuses", lambda one: from_data(tuple[str, Status], one))
        )
        self._jobs.take_up(runs)
        self._reconciler.restore(state.get("automatic"))
        self._active.registry.arbiters = {arbiter.id: arbiter for arbiter in arbiters}
        return runs

    def _run(self, saved: dict[str, Any]) -> Run:
        """Return a run as it was saved, with its settings as they are configured now."""
        run = Run.from_data(saved)
        if run.rollout is not None:
            if run.rollout.now > self._clock():
                raise BadMessage(f"it was saved at {run.rollout.now}, which is yet to come")
            try:
                run.rollout.settings = run.settings_by(self._configuration())
            except (BadSetting, BadConfiguration) as error:
                log.error("%s: carries on by the settings that were saved: %s", run.namespec, error)
        return run


def _object(text: str) -> dict[str, Any]:
    """Return the state in ``text``, as far as it is one."""
    try:
        state = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        log.error("what an earlier listener saved is lost: %s", error)
        return {}
    if not isinstance(state, dict):
        log.error("what an earlier listener saved is lost: %.80r is not an object", state)
        return {}
    return state


def _usable(state: dict[str, Any], key: str, read: Callable[[Any], _T]) -> list[_T]:
    """Return what can be used of what an earlier listener, perhaps of another version, saved."""
    found, fit = state.get(key, []), []
    if not isinstance(found, list):
        log.error("the %s that an earlier listener saved are lost: %.80r is no list", key, found)
        return []
    for one in found:
        try:
            fit.append(read(one))
        except (
            RollError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            log.error("one of the %s that an earlier listener saved is lost: %.300r", key, error)
    return fit
