"""supervisord's event-listener protocol, the listener's side.

http://supervisord.org/events.html#event-listener-notification-protocol
"""

from __future__ import annotations

import codecs

from supervisor_roll.rollout.errors import BadMessage

READY = b"READY\n"
OK = b"RESULT 2\nOK"
# What this package tells other listeners, and so ours (rpc.announcements): nothing new to it.
ANNOUNCEMENT = "announcement"
_ANNOUNCES = "REMOTE_COMMUNICATION", "type:supervisor_roll."


class EventReader:
    """Makes event names out of what supervisord writes to a listener's standard input.

    ``len:`` in an envelope counts characters, not bytes (supervisor.process, EventListenerPool).
    ``lost``: there were more events, which supervisord had no room to keep; for who reads this to
    unset.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._serial = -1  # the last event's, in our pool; -1: not known
        self.lost = False

    def feed(self, data: bytes) -> list[str]:
        """Return the events that ``data`` completes, by name, or ANNOUNCEMENT.

        Raises BadMessage for no envelope.
        """
        self._text += self._decoder.decode(data)
        names = []
        while "\n" in self._text:
            line, rest = self._text.split("\n", 1)
            header = dict(token.split(":", 1) for token in line.split() if ":" in token)
            try:
                length, name = int(header["len"]), header["eventname"]
                serial = int(header.get("poolserial", -1))
                if length < 0:
                    raise ValueError
            except (KeyError, ValueError):
                raise BadMessage(f"{line[:80]!r} is no event's envelope") from None
            if len(rest) < length:
                break
            self._text = rest[length:]
            announces = name == _ANNOUNCES[0] and rest[:length].startswith(_ANNOUNCES[1])
            names.append(ANNOUNCEMENT if announces else name)
            self.lost = self.lost or -1 < self._serial != serial - 1
            self._serial = serial
        return names

    @property
    def partial(self) -> bool:
        """Part of an event has been read, and the rest has not."""
        return bool(self._text)
