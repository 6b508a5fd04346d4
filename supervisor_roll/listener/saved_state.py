"""What a listener that starts after this one must know: as it is saved, and taken up again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker
from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.clock import SteadyClock
from supervisor_roll.listener.in_service.drains import Drained, Drains
from supervisor_roll.listener.reconcile.reconciler import Reconciler
from supervisor_roll.listener.recycling.back_off import BackOff
from supervisor_roll.listener.recycling.recycler import Recycler
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.jobs import Jobs
from supervisor_roll.listener.rollouts.run import Job, Run, Watched
from supervisor_roll.listener.rollouts.saved_rollout import as_asked
from supervisor_roll.listener.rollouts.tally import Tally
from supervisor_roll.listener.told import Told
from supervisor_roll.rollout.errors import BadMessage, BadSetting, RollError
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.codec import from_data, to_json
from supervisor_roll.wire.gunicorn_facts import GunicornFacts
from supervisor_roll.wire.mailbox import MAX_STATE_CHARS, Status

log = logging.getLogger("supervisor_roll")
_T = TypeVar("_T")

# No machine has been up for that long: a saved time beyond is none.
MOST_SECS = 1e10
_FLAT: dict[type, Callable[[Any], object]] = {
    Worker: vars,
    Instance: vars,
    Watched: vars,
    WorkerLife: vars,
    GunicornFacts: vars,
    Settings: as_asked,
}


class SavedState:
    """Of the arbiters, the runs, the last ends, and what the reconciler has tried."""

    def __init__(
        self,
        active: ActiveRollouts,
        jobs: Jobs,
        reconciler: Reconciler,
        recycler: Recycler,
        drains: Drains,
        configuration: Callable[[], Configuration],
        clock: SteadyClock,
    ) -> None:
        self._active, self._jobs, self._reconciler = active, jobs, reconciler
        self._configuration, self._clock = configuration, clock
        # What is one part each: how it is read, and where it is, by program.
        self._wholes: dict[str, tuple[Any, dict[str, Any]]] = {
            "verdict": (Status, jobs.statuses),
            "back_off": (BackOff, recycler.back_offs),
            "drained": (Drained, drains.drained),
            "tally": (Tally, active.tallies),
        }
        self.forget()

    def forget(self) -> None:
        """Take nothing for saved any more."""
        self._told = Told(MAX_STATE_CHARS, _FLAT)

    def changes(self, programs: Iterable[str]) -> dict[str, dict[str, str | None]]:
        """Return what has changed of these programs ("": of none alone) since it was saved."""
        found = self._told.changes(
            {name: self._parts(name) if name else self._common() for name in programs}
        )
        found.setdefault("", {})["clock"] = to_json(self._clock())
        return found

    @property
    def programs(self) -> set[str]:
        """Of which there is something to save."""
        arbiters = {one.namespec for one in self._active.registry.arbiters.values()}
        return {"", *arbiters, *self._active.runs}.union(*(one for _, one in self._wholes.values()))

    def _common(self) -> dict[str, object]:
        automatic = self._reconciler.saved()
        tried = {f"tried {name}": one for name, one in automatic.tried.items()}
        waiting = self._jobs.waiting
        jobs = waiting | {run.job.id: run.job for run in self._active.runs.values()}
        return {
            "resized": automatic.resized,
            "groups": automatic.groups,
            **tried,
            **{f"job {id}": {**vars(job), "programs": []} for id, job in jobs.items()},
            **{f"programs {id}": job.programs for id, job in jobs.items()},
            **{f"waiting {id}": True for id, job in waiting.items() if not job.running},
        }

    def _parts(self, namespec: str) -> dict[str, object]:
        """Return what is known of a program: of what each worker has, each is a part."""
        parts: dict[str, object] = {}
        for arbiter in self._active.registry.siblings(namespec):
            own = _text(arbiter.id)
            parts[f"arbiter {own}"] = {**arbiter.to_data(), "facts": {}, "workers": []}
            parts[f"facts {own}"] = arbiter.facts
            for worker in arbiter.workers.values():
                parts[f"worker {own} {_text(worker.id)}"] = worker
        if run := self._active.runs.get(namespec):
            data, rollout = run.to_data(), run.rollout
            parts["run"] = {**data, "job": run.job.id, "rollout": None, "watched": [], "gone": []}
            parts |= {f"watched {_text(one.id)}": one for one in run.watched}
            parts |= {f"gone {one.pid} {one.began}": one for one in run.gone}
            if rollout is not None:
                # What stays, or may be long, is apart from what each message changes.
                parts["rollout"] = {**data["rollout"], "settings": {}, "instances": {}}
                parts["settings"], parts["departed"] = rollout.settings, rollout.instances.gone
                parts |= {f"instance {_text(one.id)}": one for one in rollout.instances.members}
        wholes = self._wholes.items()
        parts |= {part: one[namespec] for part, (_, one) in wholes if namespec in one}
        return parts

    def restore(self, state: dict[str, dict[str, str]]) -> list[Run]:
        """Take up what an earlier listener saved, as far as it can be used; return its runs."""
        programs = {name: _read(name, texts) for name, texts in state.items()}
        common = programs.pop("", {})
        then = common.get("clock")
        if isinstance(then, float | int) and 0 <= then < MOST_SECS:
            self._clock.resume(then)
        self._reconciler.restore({**common, "tried": _under(common, "tried ")})
        runs = []
        for name, parts in programs.items():
            for arbiter in _usable(name, parts, "arbiter", _arbiter):
                self._active.registry.arbiters[arbiter.id] = arbiter
            runs += _usable(name, parts, "run", partial(self._run, common))
            for part, (shape, kept) in self._wholes.items():
                for whole in _usable(name, parts, part, partial(_whole, shape, part)):
                    kept[name] = whole
        self._jobs.take_up(runs, _usable("", common, "waiting", _job))
        return runs

    def _run(self, common: dict[str, Any], parts: dict[str, Any], _: str) -> Run:
        """Return a run as it was saved, with its settings as they are configured now."""
        saved = {**parts["run"], "watched": list(_under(parts, "watched ").values())}
        saved["gone"] = list(_under(parts, "gone ").values())
        saved["job"] = _job_data(common, saved["job"])
        if "rollout" in parts:
            rollout, members = parts["rollout"], list(_under(parts, "instance ").values())
            # One that an earlier release has saved has both within.
            settings = parts.get("settings", rollout["settings"])
            gone = parts.get("departed", rollout["instances"].get("gone", []))
            instances = {"members": members, "gone": gone}
            saved["rollout"] = {**rollout, "settings": settings, "instances": instances}
        run = Run.from_data(saved)
        if run.rollout is not None:
            if run.rollout.now > self._clock():
                raise BadMessage(f"it was saved at {run.rollout.now}, which is yet to come")
            try:
                run.rollout.settings = run.settings_by(self._configuration())
            except (BadSetting, BadConfiguration) as error:
                log.error("%s: carries on by the settings that were saved: %s", run.namespec, error)
        return run


def _text(instance: InstanceId) -> str:
    return f"{instance.pid}.{instance.started}"


def _under(parts: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {one.removeprefix(prefix): parts[one] for one in parts if one.startswith(prefix)}


def _arbiter(parts: dict[str, Any], own: str) -> Arbiter:
    arbiter, workers = parts[f"arbiter {own}"], list(_under(parts, f"worker {own} ").values())
    facts = parts.get(f"facts {own}", arbiter["facts"])  # within, as an earlier release saved them
    return Arbiter.from_data({**arbiter, "facts": facts, "workers": workers})


def _job_data(common: dict[str, Any], id: str) -> dict[str, Any]:
    return {**common[f"job {id}"], "programs": common[f"programs {id}"]}


def _job(common: dict[str, Any], id: str) -> Job:
    return Job.from_data(_job_data(common, id))


def _whole(shape: type[_T], part: str, parts: dict[str, Any], _: str) -> _T:
    return from_data(shape, parts[part])


def _read(program: str, texts: dict[str, str]) -> dict[str, Any]:
    """Return the parts in these texts, as far as they are JSON."""
    parts = {}
    for part, text in texts.items():
        try:
            parts[part] = json.loads(text)
        except (ValueError, RecursionError) as error:
            log.error("%s: its %s, as saved before, is lost: %s", program, part, error)
    return parts


def _usable(
    program: str, parts: dict[str, Any], kind: str, read: Callable[[dict[str, Any], str], _T]
) -> list[_T]:
    """Return what can be used of what an earlier listener, perhaps of another version, saved."""
    fit = []
    for part in parts:
        word, _, own = part.partition(" ")
        if word != kind:
            continue
        try:
            fit.append(read(parts, own))
        except (
            RollError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            log.error("%s: its %s, as saved before, is lost: %.300r", program, part, error)
    return fit
