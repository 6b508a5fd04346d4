"""Runs inside supervisorctl as ``[ctlplugin:roll]``: the commands, and how they show things."""

from __future__ import annotations

from typing import Any

from supervisor_roll.ctl.completion import make_known
from supervisor_roll.ctl.help import USAGES
from supervisor_roll.ctl.plugin import RollPlugin

COMMANDS = tuple(USAGES)


def make_plugin(controller: Any, **unknown: str) -> RollPlugin:
    """Make the plugin, as ``[ctlplugin:roll]`` says. Raises ValueError for a key: it has none."""
    for key, value in unknown.items():
        raise ValueError(f"[ctlplugin:roll]: {key}={value}: unknown key; none is known")
    plugin = RollPlugin(controller)
    make_known(controller, plugin, COMMANDS)
    return plugin
