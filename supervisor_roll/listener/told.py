"""What supervisord has been told, so that it is told again only what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.wire.codec import to_json

_left_out = Seldom()
_NOTHING = (None, 0)


class Told:
    """Each program's parts as they were told last, with how many characters each takes.

    Together they take ``most_chars`` at most. The largest programs are left out where they would
    not: what one tells of itself must not cost the others theirs.
    """

    def __init__(
        self, most_chars: int, flat: Mapping[type, Callable[[Any], object]] | None = None
    ) -> None:
        """``flat`` are classes whose attributes have no inner state: to compare them is enough.

        Each with what is told of such an object.
        """
        self._most_chars, self._flat = most_chars, flat or {}
        self._known: dict[str, dict[str, tuple[object, int]]] = {}
        self._chars: dict[str, int] = {}  # of each program

    def changes(
        self, programs: Mapping[str, Mapping[str, object]]
    ) -> dict[str, dict[str, str | None]]:
        """Return what is new of these programs' parts, as JSON; None for what is no more."""
        found = {name: self._changed(name, parts) for name, parts in programs.items()}
        while sum(self._chars.values()) > self._most_chars:
            largest = max(self._chars, key=lambda name: self._chars[name])
            _left_out.warn("too much is known of %s: it is neither saved nor shown", largest)
            found[largest] = dict.fromkeys([*found.get(largest, ()), *self._known.pop(largest)])
            del self._chars[largest]
        return {name: parts for name, parts in found.items() if parts}

    def _changed(self, program: str, parts: Mapping[str, object]) -> dict[str, str | None]:
        known, chars = self._known.setdefault(program, {}), self._chars.get(program, 0)
        found: dict[str, str | None] = dict.fromkeys(known.keys() - parts.keys())
        for part in found:
            chars -= known.pop(part)[1]
        for part, value in parts.items():
            told = self._flat.get(type(value))
            now = list(vars(value).values()) if told else to_json(value)
            before = known.get(part, _NOTHING)
            if now != before[0]:
                text = to_json(told(value)) if told else str(now)
                known[part], found[part] = (now, len(text)), text
                chars += len(text) - before[1]
        self._chars[program] = chars
        if not known:
            del self._known[program], self._chars[program]
        return found
