"""The doctor: has every check look at an installation, and says what it found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from xmlrpc.client import Fault

from supervisor_roll.installation import checks, program_checks
from supervisor_roll.installation.files import Unreadable
from supervisor_roll.installation.finding import Finding, error
from supervisor_roll.installation.running import PATIENCE_SECS, Running, Silent, Unreachable
from supervisor_roll.installation.site import Program, Site, looked_at
from supervisor_roll.installation.supervisor_conf import found
from supervisor_roll.rollout.words import PAUSED, PROGRESSING


def findings(path: str = "") -> Iterator[Finding]:
    """Return all that is to be said of the installation of a supervisord.conf.

    Without a ``path`` it is the one that supervisorctl finds.
    """
    others: list[str] = []
    if not path:
        paths = found()
        if not paths:
            yield dataclasses.replace(
                error(
                    "no supervisord.conf is where supervisorctl looks for one",
                    cure="name it with -c; echo_supervisord_conf prints one to begin with",
                ),
                check="configuration-file",
            )
            return
        path, *others = paths
    try:
        site = looked_at(path, others)
    except Unreadable as why:
        cure = "correct it, or name another with -c"
        yield dataclasses.replace(error(why.why, why.path, cure), check="configuration-file")
        return
    _ask(site)
    for check in checks.CHECKS:
        for one in check(site):
            yield dataclasses.replace(one, check=name_of(check))
    for program in site.programs:
        for program_check in program_checks.CHECKS:
            for one in program_check(site, program):
                name = program.section.namespec
                yield dataclasses.replace(one, check=name_of(program_check), program=name)


def name_of(check: object) -> str:
    """Return what a check is called in the reference, and in --json."""
    return str(getattr(check, "__name__", "")).replace("_", "-")


def _ask(site: Site) -> None:
    """Have the listener tell of each program what a rollout would do."""
    patience = PATIENCE_SECS
    for program in site.programs:
        if site.running is None or not checks.listens(site.running):
            program.unheard = "no listener runs that could tell more"
        elif program.state != "RUNNING":
            program.unheard = f"it is {program.state or 'not known to supervisord'}"
        elif _is_rolled(site.running, program):
            program.unheard = "it is being rolled"
        else:
            try:
                program.told = site.running.dry_run(program.section.namespec, patience)
            except Fault as fault:
                program.unheard = fault.faultString
            except (Silent, *Unreachable) as why:
                program.unheard, patience = f"the listener: {why}", min(patience, 2.0)


def _is_rolled(running: Running, program: Program) -> bool:
    if running.roll is None:
        return False
    name = program.section.namespec
    status = running.roll.programs.get(name)  # one that began automatically is no job
    return any(name in job.programs for job in running.roll.jobs) or (
        status is not None and status.state in (PROGRESSING, PAUSED)
    )
