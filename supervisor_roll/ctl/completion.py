"""Where supervisorctl's shell knows only its own commands, and how ours get in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def make_known(ctl: Any, plugin: Any, commands: Collection[str]) -> None:
    """Give ``commands`` of ``plugin`` their help and completed names in this one ``ctl``.

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

            line = readline.get_line_buffer()
        words = line.split()
        if words and words[0] in commands and (len(words) > 1 or line.endswith(" ")):
            line = "restart "  # takes the same names
        return completed(text, state, line)

    ctl.do_help, ctl.complete = do_help, complete
