"""What there is to do about what has changed, in the words that say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from supervisor_roll.listener.configuration.sections import group_of
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import WORKERS
from supervisor_roll.wire.successor import LIVE, NEEDS_ARBITER, NEEDS_UPDATE, Change, Resize

ROLL, ADOPT, RESIZE, ADD, REMOVE = "roll", "adopt", "resize", "add", "remove"
RUNNING = "RUNNING"  # supervisor's word


@dataclass(frozen=True)
class Operation:
    """What is to be done now, and why. ROLL and ADOPT name processes in order, others a group."""

    kind: str
    names: list[str]
    reason: str


def why_not(change: Change, settings: Settings) -> str:
    """Why a change cannot come into force while the program serves; empty if it can."""
    refused = _keys(change, NEEDS_UPDATE)
    if refused:
        why = change.why or (f"only supervisorctl update {group_of(change.namespec)} applies that")
        return f"{change.namespec} has changed: {', '.join(refused)}; {why}"
    unmoved = _keys(change, NEEDS_ARBITER)
    if unmoved and settings.strategy == WORKERS:
        return (
            f"{change.namespec} has changed: {', '.join(unmoved)}; replacing workers does not "
            "apply that, and its [roll:] section has strategy=workers"
        )
    return ""


def operations_for(
    namespecs: Iterable[str],
    changes: Mapping[str, Change],
    paths: Mapping[str, list[str]] | None = None,
) -> list[Operation]:
    """Return what to do with a program's processes: their changes, and the paths that have."""
    changed = paths or {}
    names: dict[str, list[str]] = {ADOPT: [], ROLL: []}
    for namespec in namespecs:
        if changed.get(namespec):
            names[ROLL].append(namespec)
        elif namespec in changes:
            live = set(changes[namespec].keys.values()) == {LIVE}
            names[ADOPT if live else ROLL].append(namespec)
    return [
        Operation(kind, ones, _reason(kind, ones, changes, changed))
        for kind, ones in names.items()
        if ones
    ]


def parts(resize: Resize) -> set[str]:
    """Return what is done to the group, to tell whether it was done already."""
    return {*(f"+{one}" for one in resize.added), *(f"-{one}" for one in resize.dropped)}


def resizing(resize: Resize) -> Operation:
    changes = [
        f"{', '.join(names)} {word}"
        for names, word in ((resize.added, "added"), (resize.dropped, "dropped"))
        if names
    ]
    return Operation(RESIZE, [resize.group], f"its processes have changed: {'; '.join(changes)}")


def _reason(
    kind: str, namespecs: list[str], changes: Mapping[str, Change], paths: Mapping[str, list[str]]
) -> str:
    effects = (LIVE,) if kind == ADOPT else (NEEDS_ARBITER, NEEDS_UPDATE)
    keys = {key for one in namespecs if one in changes for key in _keys(changes[one], *effects)}
    reasons = [f"its configuration has changed: {', '.join(sorted(keys))}"] if keys else []
    found = dict.fromkeys(path for one in namespecs for path in paths.get(one, ()))
    return "; ".join([*reasons, *(f"{path} has changed" for path in found)])


def _keys(change: Change, *effects: str) -> list[str]:
    return sorted(key for key, effect in change.keys.items() if effect in effects)
