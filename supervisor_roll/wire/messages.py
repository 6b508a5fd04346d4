"""What the hooks say to the listener, and its answer: a class for each kind of message.

A field that is not said has its default. These are plain classes, not dataclasses: what the
hooks import is in each of Gunicorn's processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Message:
    """One message. ``kind`` is its first line, ``fields`` the types of what may follow.

    ``encoded``: what it says besides, as ``datagram.encoded`` gives it.
    """

    kind: ClassVar[str] = ""
    encoded: ClassVar[bytes] = b""
    fields: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls) -> None:
        upper = (f"_{one}" if one.isupper() else one.upper() for one in cls.__name__)
        cls.kind = "".join(upper).removeprefix("_")
        cls.fields = {**cls.fields, **cls.__annotations__}

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class Counting(Message):
    """It says how many workers its arbiter wants."""

    changes: int = -1  # of two messages the one with more changes is newer
    workers: int | None = None


class FromWorker(Counting):
    """A worker says it."""

    age: int | None = None
    surplus: bool = False


class Describing(FromWorker):
    """It describes the worker and its arbiter: the configuration, and where they run."""

    hooks: str = ""
    gunicorn: str = ""
    worker_class: str = ""
    preload: bool = False
    reuse_port: bool = False
    reload: bool = False
    timeout: float = 0.0
    graceful_timeout: float = 0.0
    missing: str = ""
    unchecked: bool = False
    stale: str = ""
    listens: bool = False
    binds: tuple[str, ...] = ()
    conf: str = ""
    conf_digest: str = ""
    configured: int = -1
    places: str = ""
    runs: str = ""


class Booting(Describing):
    """It was forked; nothing is loaded yet. No answer."""


class Loaded(Describing):
    """The application is imported. The answer says what to check. Left out after READY_ALONE."""


class Ready(Describing):
    """It serves. Said again until it is acknowledged."""

    boot_secs: float = 0.0
    status: str | None = None
    alone: bool = False  # it was not LOADED first


class Unready(Describing):
    """Its health check failed."""

    status: str = ""


class Failed(FromWorker):
    """Its boot failed, and it exits."""

    error: str = ""
    traceback: str = ""


class BackingOff(FromWorker):
    """Boots have failed, and it waits before its own. No answer."""

    failures: int = 0
    wait_secs: float = 0.0


class Measured(FromWorker):
    """What it has answered since its boot. No answer."""

    requests: int = 0
    errors: int = 0


class Aborting(FromWorker):
    """It was sent ABRT, as Gunicorn does at ``timeout``. No answer."""


class Due(FromWorker):
    """It is past a limit, and serves on until it is replaced. Said again until then."""

    why: str = ""
    over: float = 1.0


class Draining(Message):
    """It was told to stop: how long may it take?"""


class Counted(FromWorker):
    """The arbiter wants another number of workers. Said again by a worker until it is answered."""


class Reloaded(Counting):
    """It was sent HUP. No answer."""

    uid: int = -1


class ForkFailed(Counting):
    """It could not start a worker; a surplus one is wanted no longer. No answer."""

    error: str = "a worker could not be started"
    surplus: bool = False


class Starting(Message):
    """It has no sockets yet, and wants those that are kept for it."""

    binds: tuple[str, ...] | None = None
    configured: int = -1
    uid: int = -1


class Listening(Describing):
    """It listens on the descriptors that come with the message, after the one for the answer."""

    sockets: tuple[str, ...] = ()
    fds: tuple[str, ...] = ()
    arbiter_pid: int = 0
    uid: int = -1


class Stopping(Message):
    """It has stopped: are the paths of its Unix sockets to stay?"""

    paths: tuple[str, ...] = ()


class Ack(Message):
    """The answer."""

    changes: int | None = None
    surplus: bool = False
    ready_alone: bool = False  # an ordinary worker need not be LOADED first
    hold: bool = False
    hold_secs: float = 0.0
    health: str = ""
    health_host: str = "localhost"
    health_headers: tuple[str, ...] = ()
    health_timeout_secs: float = 5.0
    status_path: str = ""
    drained_path: str = ""
    want_sockets: bool = False
    watch_secs: float = 0.0
    drain_secs: float | None = None
    successor: bool = False
    workers: int = 0
    sockets: tuple[str, ...] = ()
    refused: str = ""
    keep: bool = True
    remove: tuple[str, ...] = ()
    recycle: bool = False
    grace_secs: float = 0.0
    lifetime_secs: float = 0.0
    more_grace: bool = False
    unasked: bool = False
    retire_age: int = 0


FROM_WORKERS = (Booting, Loaded, Ready, Unready, Failed, BackingOff, Measured, Aborting, Due)
FROM_BOTH = (Draining, Listening, Counted)
FROM_ARBITERS = (Starting, Stopping, Reloaded, ForkFailed)
KINDS = {one.kind: one for one in (*FROM_WORKERS, *FROM_BOTH, *FROM_ARBITERS, Ack)}
