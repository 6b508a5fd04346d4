"""What hooks say of their Gunicorn, in each message that describes a worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from supervisor_roll.wire.messages import Describing
from supervisor_roll.wire.places import Place, decode

# A boot is near Gunicorn's timeout from this share of it on.
_NEAR_TIMEOUT = 0.7


@dataclass(frozen=True)
class GunicornFacts:
    """A Gunicorn and its configuration; what has not been said has its default."""

    gunicorn: str = ""  # its version
    hooks: str = ""  # supervisor_roll's, as the arbiter imported it
    worker_class: str = ""
    preload: bool = False
    reuse_port: bool = False
    reload: bool = False
    timeout: float = 0.0
    graceful_timeout: float = 0.0
    missing: str = ""  # the hooks that did not run
    unchecked: bool = False  # this kind of application cannot be asked for its health
    stale: str = ""  # modules of the application that the arbiter has imported
    listens: bool = False  # the hooks for its sockets are installed
    binds: list[str] = field(default_factory=list)  # the addresses in its configuration
    conf: str = ""  # its configuration file, with its digest as read
    conf_digest: str = ""
    configured: int = -1  # the setting ``workers``
    places: list[Place] = field(default_factory=list)  # where it runs from

    @classmethod
    def told(cls, message: Describing) -> GunicornFacts:
        """Take them from a message."""
        same = {name: getattr(message, name) for name in cls.__dataclass_fields__}
        binds = [one for one in message.binds if one]
        return cls(**{**same, "binds": binds, "places": decode(message.places)})

    @property
    def version(self) -> tuple[int, ...]:
        """The version as numbers, as far as it is made of numbers; empty if unknown."""
        parts = []
        for part in self.gunicorn.split("."):
            if not (part.isascii() and part.isdecimal() and len(part) < 10):
                break
            parts.append(int(part))
        return tuple(parts)

    def nearly_ends(self, boot_secs: float) -> bool:
        """Whether it might end a worker that boots for so long: its ``timeout`` counts then, too.

        So it is before 22.
        """
        return self.version < (22, 0) and boot_secs > _NEAR_TIMEOUT * self.timeout > 0
