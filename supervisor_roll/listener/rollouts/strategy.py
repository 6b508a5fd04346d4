"""Which strategy a rollout takes, and why: what is asked for, and what must be renewed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.edges import told_paths
from supervisor_roll.rollout.settings import AUTO, Settings
from supervisor_roll.rollout.words import ARBITER, WORKERS
from supervisor_roll.wire.successor import LIVE, NEEDS_ARBITER, NEEDS_UPDATE, Change


@dataclass(frozen=True)
class Choice:
    """A strategy, with why in words. ``refused`` says why nothing can be rolled at all.

    ``changes`` are the changed keys of the program's section, and its Gunicorn's configuration
    file if that has changed, with what each takes.
    """

    strategy: str
    reasons: list[str] = field(default_factory=list)
    changes: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    warning: str = ""

    @property
    def live(self) -> bool:
        """There are changes, and none of them needs another arbiter."""
        return bool(self.changes) and set(self.changes.values()) == {LIVE}


def choose(
    arbiter: Arbiter, settings: Settings, change: Change | None, elsewhere: str = ""
) -> Choice:
    """Return the strategy for an arbiter whose program's section has changed as ``change`` says.

    ``elsewhere`` says why its fresh workers would not run what is deployed.
    """
    keys = dict(change.keys) if change is not None else {}
    if _conf_changed(arbiter.facts.conf, arbiter.facts.conf_digest):
        keys[arbiter.facts.conf] = NEEDS_ARBITER
    refused = [key for key, effect in keys.items() if effect == NEEDS_UPDATE]
    if refused and settings.strategy != WORKERS:
        why = (
            change.why
            if change is not None and change.why
            else ("only supervisorctl update can apply that")
        )
        return Choice(
            ARBITER,
            changes=keys,
            refused=(f"its configuration has changed: {', '.join(sorted(refused))}; {why}"),
        )
    reasons = _reasons(arbiter, keys) + ([elsewhere] if elsewhere else [])
    if settings.strategy == WORKERS and elsewhere:
        return Choice(
            WORKERS,
            changes=keys,
            refused=f"its arbiter's workers would not run what is deployed: {elsewhere}; "
            "use --strategy arbiter",
        )
    if settings.strategy == WORKERS:
        stays = (
            "its configuration has changed, which replacing workers does not apply: "
            f"{_listed(keys)}"
            if _listed(keys)
            else ""
        )
        return Choice(WORKERS, changes=keys, warning=stays)
    if settings.strategy == AUTO and not reasons:
        return Choice(WORKERS, changes=keys)
    return Choice(ARBITER, reasons or ["as asked for"], keys)


def _reasons(arbiter: Arbiter, keys: dict[str, str]) -> list[str]:
    facts, reasons = arbiter.facts, []
    if _listed(keys):
        reasons.append(f"its configuration has changed: {_listed(keys)}")
    if facts.preload:
        reasons.append("it has preload_app")
    elif facts.stale:
        reasons.append(f"its arbiter has imported modules of the application: {facts.stale}")
    return reasons


def _listed(keys: dict[str, str]) -> str:
    return ", ".join(sorted(key for key, effect in keys.items() if effect == NEEDS_ARBITER))


def _conf_changed(path: str, digest: str) -> bool:
    if not path or not digest:
        return False
    try:
        text = told_paths.contents(path)
        return len(text) < told_paths.MAX_BYTES and hashlib.sha256(text).hexdigest() != digest
    except (OSError, ValueError):
        return False  # gone or not ours to read: a successor would say more than we can
