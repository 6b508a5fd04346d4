"""What can be wrong, by who is at fault. One base class, so that a host can catch all of it."""

from __future__ import annotations


class RollError(Exception):
    """Any error that supervisor_roll raises on purpose."""


class BadSetting(RollError):
    """An operator's setting breaks a rule. Names the place, the key, the value and the rule."""

    def __init__(self, key: str, value: object, rule: str, place: str = "") -> None:
        self.key, self.value, self.rule, self.place = key, value, rule, place
        super().__init__(f"{place + ': ' if place else ''}{key}={value}: {rule}")

    def at(self, place: str) -> BadSetting:
        """Return the same error, with the place (a file and section, or the command line) named."""
        return BadSetting(self.key, self.value, self.rule, place)


class IllegalEvent(RollError):
    """Our own caller told the machine something that cannot be; the machine did not change."""


class BadMessage(RollError):
    """A peer sent what the protocol does not allow; the message was not used."""
