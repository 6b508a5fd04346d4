"""What happened to a rollout (events) and what to do about it (actions).

Events are past participles, actions are imperatives, or facts to report. All are frozen values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from supervisor_roll.rollout.reports import Facts


class InstanceId(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid.

    ``started`` is the process's start time as the kernel counts it: in clock ticks since the
    machine's boot, which no step of the wall clock changes.
    """

    pid: int
    started: int


class Whose(str, Enum):
    """Whose worker, count or signal it is."""

    ARBITER = "arbiter"  # the one that had the program's name as the rollout began
    SUCCESSOR = "successor"  # the one beside it, also once it is promoted


# --- events -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """An instance runs. ``age`` is Gunicorn's own ordinal (Worker.age); it only grows.

    ``surplus`` says that the arbiter will not replace this instance if it leaves; ``fresh`` is
    False for one that an arbiter forked which is itself to be replaced.
    """

    instance: InstanceId
    age: int
    surplus: bool = False
    fresh: bool = True


@dataclass(frozen=True)
class Loaded:
    """An instance has loaded its application; it hears signals from now on."""

    instance: InstanceId


@dataclass(frozen=True)
class BecameReady:
    """An instance said that it can serve. ``health`` is its check's status line, if it made one.

    ``cpu_secs``: for how much of its boot it computed, or waited for a core to, if measured.
    """

    instance: InstanceId
    boot_secs: float
    health: str = ""
    cpu_secs: float = 0.0


@dataclass(frozen=True)
class BecameUnready:
    """An instance runs but says that it cannot serve: ``why`` is its check's answer."""

    instance: InstanceId
    why: str


@dataclass(frozen=True)
class BootFailed:
    """An instance cannot boot, and is about to leave. ``why`` ends with the traceback's tail."""

    instance: InstanceId
    why: str


@dataclass(frozen=True)
class ForkFailed:
    """The arbiter, or its successor, could not start an instance, and serves on."""

    why: str
    whose: Whose = Whose.ARBITER


@dataclass(frozen=True)
class Exited:
    """An instance is gone. ``why`` is what is known of the cause, in the operator's words."""

    instance: InstanceId
    why: str = ""


@dataclass(frozen=True)
class Counted:
    """The arbiter, or its successor, now wants ``count`` instances."""

    count: int
    whose: Whose = Whose.ARBITER


@dataclass(frozen=True)
class Observed:
    """The workers that the arbiter, or its successor, has: the kernel shows them."""

    workers: tuple[InstanceId, ...]
    whose: Whose = Whose.ARBITER


@dataclass(frozen=True)
class ArbiterExited:
    """The arbiter itself, or its successor, is gone, and its instances with it."""

    why: str
    whose: Whose = Whose.ARBITER


@dataclass(frozen=True)
class SuccessorStarted:
    """The arbiter's successor runs, beside it."""

    arbiter: InstanceId


@dataclass(frozen=True)
class Configured:
    """The successor is configured with ``count`` instances, and the arbiter was with others."""

    count: int


@dataclass(frozen=True)
class Promoted:
    """The successor has the program's name; the old arbiter was asked to go."""


@dataclass(frozen=True)
class Aborted:
    """An operator asked to end the rollout."""

    by: str


@dataclass(frozen=True)
class Paused:
    """An operator asked to hold the rollout where it is."""

    by: str


@dataclass(frozen=True)
class Resumed:
    """An operator asked to let a paused rollout go on."""

    by: str


@dataclass(frozen=True)
class PreflightPassed:
    """The preflight, for which the first retirement waited, has loaded the application."""


@dataclass(frozen=True)
class PrerequisiteFailed:
    """What the rollout needs beside its instances has failed: preflight, start, or promotion."""

    why: str


@dataclass(frozen=True)
class RequestCounts:
    """How many requests were answered, and how many of them with 5xx or an exception."""

    requests: int = 0
    errors: int = 0


@dataclass(frozen=True)
class Measured:
    """What the fresh and the outdated instances answered in the same seconds, all in all."""

    fresh: RequestCounts
    outdated: RequestCounts


@dataclass(frozen=True)
class TimePassed:
    """Nothing happened but time."""


WorkerEvent = Started | Loaded | BecameReady | BecameUnready | BootFailed | Exited
ArbiterEvent = ForkFailed | Counted | Observed | ArbiterExited
SuccessorEvent = SuccessorStarted | Configured | Promoted  # of strategy arbiter alone
ControlEvent = (
    Aborted | Paused | Resumed | PreflightPassed | PrerequisiteFailed | Measured | TimePassed
)
Event = WorkerEvent | ArbiterEvent | SuccessorEvent | ControlEvent


# --- actions ----------------------------------------------------------------------------


@dataclass(frozen=True)
class AddInstance:
    """Have the arbiter, or its successor, run one more instance (TTIN)."""

    whose: Whose = Whose.ARBITER


@dataclass(frozen=True)
class RemoveOldest:
    """Have the arbiter, or its successor, retire its oldest instance (TTOU)."""

    whose: Whose = Whose.ARBITER


@dataclass(frozen=True)
class StartSuccessor:
    """Have supervisord run a second arbiter beside the one that serves."""


@dataclass(frozen=True)
class Promote:
    """Give the successor the program's name, and ask the old arbiter to go."""


@dataclass(frozen=True)
class Discard:
    """Stop the successor. The old arbiter serves on."""


@dataclass(frozen=True)
class StopInstance:
    """Ask one instance to finish its requests and leave (TERM)."""

    instance: InstanceId


@dataclass(frozen=True)
class DumpInstance:
    """Have one stuck instance show where it hangs, and leave (ABRT)."""

    instance: InstanceId


@dataclass(frozen=True)
class KillInstance:
    """End one instance that does not leave (KILL)."""

    instance: InstanceId


@dataclass(frozen=True)
class Look:
    """Look which workers the arbiter, or its successor, has, and answer with Observed."""

    whose: Whose = Whose.ARBITER


Action = (
    AddInstance
    | RemoveOldest
    | StopInstance
    | DumpInstance
    | KillInstance
    | StartSuccessor
    | Promote
    | Discard
    | Look
    | Facts
)
