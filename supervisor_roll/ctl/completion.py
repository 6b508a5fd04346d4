"""Where supervisorctl's shell knows only its own commands, and how ours get in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from supervisor_roll.ctl.arguments import Option, options


def make_known(ctl: Any, plugin: Any, commands: Collection[str]) -> None:
    """Give ``commands`` of ``plugin`` their help, and what Tab completes, in this one ``ctl``.

    Replaces two methods of the instance, since upstream has no hook (supervisor 4.3.0,
    supervisorctl.Controller): ``do_help`` asks every plugin for every topic, and each but
    one answers that there is no help; ``complete`` completes names for a fixed list of
    commands.
    """
    helped, completed = ctl.do_help, ctl.complete

    def do_help(topic: str) -> Any:
        return (plugin.do_help if topic.strip() in commands else helped)(topic.strip())

    def complete(text: str, state: int, line: str | None = None) -> Any:
        if line is None:
            import readline

            line = readline.get_line_buffer()[: readline.get_endidx()]
        before = line.removesuffix(text)
        words = before.replace("=", " ").split()
        if not words or words[0] not in commands:
            return completed(text, state, line)
        known = options(words[0])
        last = known.get(words[-1], Option())
        if last.takes_value and before[-1:] in (" ", "="):
            found = last.values
        elif text.startswith("-"):
            found = sorted(known.keys() - set(words))
        else:
            return completed(text, state, "restart ")  # takes the same names
        found = [f"{one} " for one in found if one.startswith(text)]
        return found[state] if state < len(found) else None

    ctl.do_help, ctl.complete = do_help, complete
