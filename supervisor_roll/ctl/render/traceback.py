"""A traceback with the application's frames in sight. Pure."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, TypeVar

from supervisor_roll.ctl.render.text import count

# A text of more lines than that is shown without its middle: its end says more than that does.
LONGEST = 40
_FRAME = re.compile(r'(?P<lead>[ |]*)File "(?P<path>.*)", line \d+, in ')
# What loads an application, and is in each traceback of one that does not load.
_LOADER = re.compile(
    r"<frozen (importlib)\b|/python[\d.]+/(importlib)/"
    r"|/(?:site|dist)-packages/(gunicorn)/|/(supervisor_roll)/hooks/"
)
_Shown = TypeVar("_Shown")


def in_brief(facts: _Shown) -> _Shown:
    """Return a dataclass's object with each text of several lines in brief, as ``brief`` has it."""
    if not dataclasses.is_dataclass(facts) or isinstance(facts, type):
        return facts
    values = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    return type(facts)(**{name: _in_brief(one) for name, one in values.items()})


def _in_brief(value: Any) -> Any:
    return brief(value) if isinstance(value, str) else in_brief(value)


def brief(text: str) -> str:
    """Return ``text`` without the frames that load an application; of a long one, no middle."""
    lines = _without_loaders(text.rstrip("\n").split("\n"))
    if len(lines) > LONGEST:
        lines = [lines[0], "...", *lines[2 - LONGEST :]]
    return "\n".join(lines)


def _without_loaders(lines: list[str]) -> list[str]:
    """Put one line in place of such frames in succession, which says how many and whose."""
    kept: list[str] = []
    of: list[str] = []  # whose the frames are that have been left out since the last kept line
    lead = ""
    for line in lines:
        frame = _FRAME.match(line)
        if frame is None and of and line.startswith((f"{lead}  ", f"{lead}[Previous line rep")):
            continue  # the frame's source, or how often it stands there
        loader = _LOADER.search(frame["path"]) if frame else None
        if of and (frame is None or loader is None or frame["lead"] != lead):
            kept.append(_left_out(lead, of))
            of = []
        if frame and loader:
            of.append(next(filter(None, loader.groups())))
            lead = frame["lead"]
        else:
            kept.append(line)
    return [*kept, _left_out(lead, of)] if of else kept


def _left_out(lead: str, of: list[str]) -> str:
    return f"{lead}... {count(len(of), 'frame')} of {', '.join(dict.fromkeys(of))}"
