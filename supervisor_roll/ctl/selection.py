"""Which programs and which jobs an operator's names mean. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor.options import make_namespec, split_namespec

from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.successor import program_of

_ALL = "all"


def programs_of(name: str, everyone: Iterable[tuple[str, str]]) -> list[str]:
    """Return the programs that ``name`` means to `status`, each once; none if it is unknown.

    ``everyone`` has the group and the name of each process. Of a successor, and of the arbiter
    that it replaces, the program's own status tells.
    """
    group_name, process_name = split_namespec(name)
    everyone = list(everyone)
    known = {make_namespec(group, process) for group, process in everyone}
    found = dict[str, None]()
    for group, process in everyone:
        if name == _ALL or (group == group_name and process_name in (None, process)):
            namespec = make_namespec(group, process)
            program = program_of(namespec)
            found[program if program in known else namespec] = None
    return list(found)


def jobs_of(jobs: Iterable[wire.Job], names: list[str] | None) -> list[wire.Job]:
    """Return the rollouts among ``jobs`` of ``names`` (None: of any), with only these in them."""
    chosen = []
    for job in jobs:
        known = [name for name in job.programs if name]  # an empty one is what is about none
        if job.kind == wire.UPDATE and (_ALL in known or not known):
            programs = [_ALL] if names is None else names  # it may be about any of them
        else:
            programs = [name for name in known if names is None or name in names]
        if job.kind in (wire.ROLLOUT, wire.DRY_RUN, wire.UPDATE, wire.RECYCLE) and programs:
            chosen.append(wire.Job(job.id, job.kind, programs, job.by))
    return chosen


def being_rolled(found: wire.Overview) -> set[str]:
    """Return the programs whose rollouts are under way, or are to come."""
    kinds = (wire.ROLLOUT, wire.RECYCLE)
    active = {name for job in found.jobs if job.kind in kinds for name in job.programs}
    # An update may have been asked for all programs, and roll only one of them.
    updates = {job.id for job in found.jobs if job.kind == wire.UPDATE}
    return active | {
        name for name, one in found.programs.items() if one.job in updates and one.ended is None
    }


def following(programs: Iterable[str]) -> str:
    """Return the command that follows the rollouts of ``programs``."""
    names = " ".join(programs)
    # With names only what is about these is followed.
    return "rollstatus --follow" if names == _ALL else f"rollstatus --follow {names}"
