"""What is reported of a program in a job: a class a kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from supervisor_roll.rollout.words import ABORTED, BOOTING, COMPLETE, FAILED, WORKERS


@dataclass(frozen=True)
class Facts:
    """What one kind of report tells; ``kind`` names it, and each field has a default."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class Began(Facts):
    """The rollout begins; ``changes`` has the effect of each changed key, as roll.reread does."""

    kind = "began"
    strategy: str = WORKERS
    workers: int = 0
    desired: int = 0
    ready: int = 0
    max_surge: int = 0
    max_unavailable: int = 0
    canary: int = 0
    min_ready_secs: float = 0.0
    arbiter: int = 0
    reasons: list[str] = field(default_factory=list)
    changes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Replaced(Facts):
    """A fresh worker is available, and an outdated one has left or is about to."""

    kind = "replaced"
    old: int = 0
    new: int = 0
    boot_secs: float = 0.0
    health: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Succeeded(Facts):
    """A successor starts beside the old arbiter."""

    kind = "succeeded"
    old: int = 0
    new: int = 0


@dataclass(frozen=True)
class Arrived(Facts):
    """A worker of the successor is available."""

    kind = "arrived"
    pid: int = 0
    boot_secs: float = 0.0
    health: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Promoted(Facts):
    """The successor has the program's name, and the old arbiter drains."""

    kind = "promoted"
    old: int = 0
    new: int = 0


@dataclass(frozen=True)
class Left(Facts):
    """An outdated worker exited on its own."""

    kind = "left"
    pid: int = 0
    why: str = ""


@dataclass(frozen=True)
class Stuck(Facts):
    """A worker has not left in time; it was sent ABRT or KILL."""

    kind = "stuck"
    pid: int = 0
    secs: float = 0.0
    signal: str = ""


@dataclass(frozen=True)
class Note(Facts):
    """Something that is nothing to worry about."""

    kind = "note"
    text: str = ""


@dataclass(frozen=True)
class Broken(Facts):
    """The rollout has turned: what it started is being undone."""

    kind = "broken"
    why: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Outcome(Facts):
    """How the rollout ended, after ``secs``, and the pids of the workers that it left.

    ``arbiter`` and what follows is of strategy arbiter: the pid of the one that serves (0: none),
    whether it is the one that did before, how many workers it has, and how many of these serve
    although their check fails.
    """

    strategy: str = WORKERS
    why: str = ""
    secs: float = 0.0
    replaced: int = 0
    total: int = 0
    min_ready: int = 0
    desired: int = 0
    count: int = 0
    outdated: list[int] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    rolled_back: bool = False
    arbiter: int | None = None
    same: bool = True
    workers: int = 0
    unhealthy: int = 0


@dataclass(frozen=True)
class Complete(Outcome):
    """All outdated instances are replaced."""

    kind = COMPLETE


@dataclass(frozen=True)
class Failed(Outcome):
    """The rollout gave up, and what it started is undone as far as possible."""

    kind = FAILED


@dataclass(frozen=True)
class Aborted(Outcome):
    """An operator ended the rollout; with ``why`` alone if nothing was touched."""

    kind = ABORTED


@dataclass(frozen=True)
class Warned(Facts):
    """Something that an operator should know."""

    kind = "warning"
    text: str = ""


@dataclass(frozen=True)
class Refused(Facts):
    """No rollout began, and nothing was touched."""

    kind = "refused"
    why: str = ""


@dataclass(frozen=True)
class Skipped(Facts):
    """Nothing was to be rolled, and nothing was touched."""

    kind = "skipped"
    why: str = ""


@dataclass(frozen=True)
class OutOfService(Facts):
    """A program is out of service after ``secs``; so many ``sessions`` were left to HAProxy."""

    kind = "drained"
    secs: float = 0.0
    sessions: int = 0


@dataclass(frozen=True)
class InService(Facts):
    """A program is back in service, ``secs`` after that was asked for."""

    kind = "in-service"
    secs: float = 0.0


@dataclass(frozen=True)
class Undone(Facts):
    """A program could not be taken out of service, or be put back."""

    kind = "undone"
    why: str = ""


@dataclass(frozen=True)
class Memory:
    """Whether the memory that a surge takes is there."""

    per_worker_bytes: int = 0
    extra_bytes: int = 0
    available_bytes: int = 0
    fits: bool = False
    text: str = ""


@dataclass(frozen=True)
class Processes:
    """Whether a surge stays within the limit of processes and threads."""

    extra: int = 0
    available: int = 0
    fits: bool = False
    text: str = ""


@dataclass(frozen=True)
class Preflight:
    """Whether the application loads, and the end of what it wrote."""

    ok: bool = False
    secs: float = 0.0
    text: str = ""


@dataclass(frozen=True)
class Plan(Facts):
    """What a rollout would do, as asked by a dry run; ``refused`` says why it would be refused."""

    kind = "plan"
    workers: int = 0
    desired: int = 0
    ready: int = 0
    max_surge: int = 0
    max_unavailable: int = 0
    strategy: str = ""
    reasons: list[str] = field(default_factory=list)
    changes: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    boot_secs: float = 0.0
    estimated_secs: float = 0.0
    health: str = ""
    memory: Memory | None = None  # None: not measured
    processes: Processes | None = None  # None: they are not limited
    preflight: Preflight | None = None  # None: none was made
    # What its Gunicorn runs and is configured with; "" and 0 where that is not known.
    gunicorn: str = ""
    hooks: str = ""
    timeout: float = 0.0
    graceful_timeout: float = 0.0


@dataclass(frozen=True)
class Past(Facts):
    """A rollout that has ended, as rollhistory shows it; ``id`` is its number there.

    ``verdict`` is the kind of its last report. ``by`` is who asked for it; with ``recycling``
    workers past a limit were replaced. The releases are those of its workers as it began, and of
    the fresh ones as it ended.
    """

    kind = "past"
    id: int = 0
    job: str = ""
    by: str = ""
    recycling: bool = False
    strategy: str = ""
    verdict: str = ""
    why: str = ""
    began: float = 0.0
    secs: float = 0.0
    replaced: int = 0
    total: int = 0
    boot_p50_secs: float = 0.0
    boot_max_secs: float = 0.0
    release_before: str = ""
    release_after: str = ""


@dataclass(frozen=True)
class WorkerLife(Facts):
    """One worker's life, as far as it has come; times in seconds since the epoch, None: not yet.

    ``state`` is booting, baking (ready, but not yet for ``min_ready_secs``), ready, draining (it
    was asked to leave), failed (its boot did, or its health check, or it left before it was
    available) or gone. ``how`` says what was unusual about its end; of ``memory_bytes`` 0 is
    not known.
    """

    kind = "worker"
    pid: int = 0
    state: str = BOOTING
    outdated: bool = False
    began: float = 0.0
    ready_at: float | None = None
    retiring_at: float | None = None
    gone_at: float | None = None
    how: str = ""
    boot_secs: float = 0.0
    health: str = ""
    release: str = ""
    memory_bytes: int = 0


KINDS: dict[str, type[Facts]] = {
    one.kind: one
    for one in (
        Began,
        Succeeded,
        Arrived,
        Promoted,
        Replaced,
        Left,
        Stuck,
        Warned,
        Note,
        Broken,
        Complete,
        Failed,
        Aborted,
        Refused,
        Skipped,
        Plan,
        Past,
        WorkerLife,
        OutOfService,
        InService,
        Undone,
    )
}
# Each of these ends a program's part in the job.
ENDS = frozenset(
    one.kind
    for one in (
        Complete,
        Failed,
        Aborted,
        Refused,
        Skipped,
        Plan,
        OutOfService,
        InService,
        Undone,
    )
)

OUTCOMES: dict[str, type[Outcome]] = {one.kind: one for one in (Complete, Failed, Aborted)}
