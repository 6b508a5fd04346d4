"""What the listener asks of supervisord about changed programs and their successors.

A program's *successor* is a second arbiter that supervisord runs beside the one that serves,
under a name of its own, until it is promoted to the program's name (or discarded). The
arbiter that it replaces is then *retiring*, under a name of its own as well. A *preflight* is a
successor that loads the application and ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from supervisor_roll.wire.codec import Count

SUCCESSOR_SUFFIX = ".successor"
RETIRING_SUFFIX = ".retiring"
PREFLIGHT_SUFFIX = ".preflight"
# In a successor's environment: the pid of the arbiter beside which it starts. The hooks need it.
SUCCESSOR_VARIABLE = "SUPERVISOR_ROLL_SUCCESSOR_OF"
# "1" in a preflight's environment, so that a wrapper or a configuration file with effects of
# its own (migrations, say) can leave them out.
PREFLIGHT_VARIABLE = "SUPERVISOR_ROLL_PREFLIGHT"
# What a preflight has in place of the readiness socket's path: its hooks talk to nobody.
PREFLIGHT_SOCKET = "preflight"
# The signal that an arbiter is sent before it is stopped because another one serves.
RETIRE = "URG"

# What it takes for a changed key of a program's section to come into force.
LIVE = "live"  # nothing: it takes effect at once
NEEDS_ARBITER = "arbiter"  # an arbiter that was started since
NEEDS_UPDATE = "refused"  # supervisorctl update, with its downtime


@dataclass(frozen=True)
class Change:
    """A process whose section differs from what it runs with: key -> effect, no values.

    ``digest`` stands for all of the new values: it changes when one of them does. ``why`` says
    what is to be done where a key is refused.
    """

    namespec: str
    keys: dict[str, str]
    digest: str = ""
    why: str = ""


@dataclass(frozen=True)
class Resize:
    """A group whose number of processes has changed (numprocs), with their namespecs.

    ``refused`` says why that cannot be done while it serves, empty if it can.
    """

    group: str
    added: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    refused: str = ""


@dataclass(frozen=True)
class Reread:
    """How the configuration files differ from what runs. ``added`` and ``removed`` are groups."""

    changes: list[Change] = field(default_factory=list)
    resized: list[Resize] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Succession:
    """A program's arbiters: their pids (0: there is none) and supervisor's names of their states.

    ``ended`` says how the last successor ended, empty if none has; ``tail`` is the end of what
    it wrote to its standard output and error.
    """

    pid: Count = 0
    state: str = ""
    successor: Count = 0
    successor_state: str = ""
    retiring: Count = 0
    ended: str = ""
    tail: str = ""


@dataclass(frozen=True)
class Preflight:
    """A program's last preflight. Once it does not run: how it ended, 128 and more by a signal.

    ``tail`` is the end of what it wrote.
    """

    pid: Count = 0
    runs: bool = False
    exit_code: Count = 0
    tail: str = ""


def program_of(namespec: str) -> str:
    """Return the namespec of the program that one beside its own process belongs to; or itself."""
    for suffix in (SUCCESSOR_SUFFIX, RETIRING_SUFFIX, PREFLIGHT_SUFFIX):
        if namespec.endswith(suffix) and ":" in namespec:
            group, name = namespec.removesuffix(suffix).split(":", 1)
            # As supervisor's make_namespec has it.
            return name if group == name else f"{group}:{name}"
    return namespec


def successor_of(namespec: str) -> str:
    """Return the namespec of the program's successor, whether there is one or not."""
    return _beside(namespec, SUCCESSOR_SUFFIX)


def preflight_of(namespec: str) -> str:
    """Return the namespec of the program's preflight, whether there is one or not."""
    return _beside(namespec, PREFLIGHT_SUFFIX)


def _beside(namespec: str, suffix: str) -> str:
    group, _, name = namespec.partition(":")
    return f"{group}:{name or group}{suffix}"
