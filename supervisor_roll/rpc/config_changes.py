"""How the configuration that was read differs from what runs, and what it takes to apply it."""

from __future__ import annotations

import hashlib
from typing import Any

from supervisor.options import make_namespec

from supervisor_roll.rpc import supervisor_internals
from supervisor_roll.rpc.supervisor_types import Group, GroupConfig
from supervisor_roll.wire.successor import LIVE, NEEDS_ARBITER, NEEDS_UPDATE, Change, Reread, Resize

# supervisord looks these up whenever it needs them.
_LIVE = frozenset(
    {
        "autostart",
        "autorestart",
        "startsecs",
        "startretries",
        "stopsignal",
        "stopwaitsecs",
        "stopasgroup",
        "killasgroup",
        "exitcodes",
        "priority",
    }
)
_KEYS = {"uid": "user"}  # where the section has another word


def reread(process_groups: dict[str, Group], new_groups: dict[str, GroupConfig]) -> Reread:
    """Return what ``new_groups`` would change. Pools of event listeners are left out."""
    running = {
        name: group
        for name, group in process_groups.items()
        if not supervisor_internals.is_pool(group)
    }
    changes, resized = [], []
    for name, group in running.items():
        if name in new_groups:
            changes += _changes(group, new_groups[name])
            resized += _resized(group, new_groups[name])
    added = [
        name
        for name, config in new_groups.items()
        if name not in process_groups and not hasattr(config, "pool_events")
    ]
    return Reread(changes, resized, sorted(added), sorted(running.keys() - new_groups.keys()))


def change(group: Group, new_group: GroupConfig, name: str) -> Change | None:
    """Return what the new configuration changes of one process; None for nothing."""
    process = supervisor_internals.programs(group).get(name)
    new = {config.name: config for config in new_group.process_configs}.get(name)
    if process is None or new is None:
        return None
    now, then = (
        supervisor_internals.parameters(process.config),
        supervisor_internals.parameters(new),
    )
    keys = {
        _KEYS.get(key, key): LIVE if key in _LIVE else NEEDS_ARBITER
        for key, value in then.items()
        # As supervisor itself compares: an automatic log file is as good as any.
        if not supervisor_internals.is_automatic(value)
        and not supervisor_internals.is_automatic(now[key])
        and value != now[key]
    }
    if group.config.priority != new_group.priority:
        keys["priority"] = LIVE
    if _order(group.config, new_group) != _order(new_group, group.config):
        keys["programs"] = LIVE  # supervisor compares their order in [group:x], too
    why = _refusal(group, new_group)
    if why:
        keys["socket"] = NEEDS_UPDATE
    if not keys:
        return None
    namespec = make_namespec(group.config.name, name)
    order = _order(new_group, group.config) if "programs" in keys else []
    return Change(namespec, keys, _digest(then, new_group, order), why)


def _changes(group: Group, new_group: GroupConfig) -> list[Change]:
    found = (change(group, new_group, name) for name in supervisor_internals.programs(group))
    return [one for one in found if one is not None]


def _resized(group: Group, new_group: GroupConfig) -> list[Resize]:
    now = list(supervisor_internals.programs(group))
    then = [config.name for config in new_group.process_configs]
    added = [name for name in then if name not in now]
    dropped = [name for name in now if name not in then]
    if not added and not dropped:
        return []
    name = group.config.name
    refused = _refusal(group, new_group)
    if not refused and len(now) == len(dropped):
        refused = (
            "none of its processes keeps its name (process_name, or numprocs to or from"
            f" 1): only supervisorctl update {name} applies that, with its downtime"
        )
    return [
        Resize(
            name,
            [make_namespec(name, one) for one in added],
            [make_namespec(name, one) for one in dropped],
            refused,
        )
    ]


def _refusal(group: Group, new_group: GroupConfig) -> str:
    """Say why the group cannot become the other while it runs; empty if it can.

    A process of another kind than its group's would make supervisord itself end.
    """
    if type(group.config) is not type(new_group):
        why = "its section is of another kind now ([program], [fcgi-program], [eventlistener])"
    elif getattr(group.config, "socket_config", None) != getattr(new_group, "socket_config", None):
        why = "supervisord itself holds the socket of an [fcgi-program]"
    else:
        return ""
    return f"{why}: only supervisorctl update {group.config.name} applies that, with its downtime"


def _order(config: GroupConfig, other: GroupConfig) -> list[str]:
    """List the processes of one configuration that the other has, too."""
    others = {one.name for one in other.process_configs}
    return [one.name for one in config.process_configs if one.name in others]


def _digest(values: dict[str, Any], new_group: GroupConfig, order: list[str]) -> str:
    plain = {
        key: "AUTO"
        if supervisor_internals.is_automatic(value)
        else sorted(value.items())
        if isinstance(value, dict)
        else value
        for key, value in values.items()
    }
    text = repr(
        (
            sorted(plain.items(), key=lambda pair: pair[0]),
            new_group.priority,
            str(getattr(new_group, "socket_config", "")),
            order,
        )
    )
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
