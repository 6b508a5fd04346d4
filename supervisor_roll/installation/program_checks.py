"""What is checked of each Gunicorn program. A check is a function in CHECKS.

What its Gunicorn itself tells, through the listener, goes before what the files say: those checks
are for a program that does not run.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from supervisor_roll import __version__
from supervisor_roll.installation.files import Unreadable, read_bytes
from supervisor_roll.installation.finding import Finding, error, ok, warning
from supervisor_roll.installation.site import Program, Site
from supervisor_roll.rollout.installing import HOOK_LINE, HOOKS, wrapper_cure
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.gunicorn_facts import GunicornFacts

# A stop takes graceful_timeout and a little more.
_MARGIN_SECS = 5
_GRACEFUL = signal.SIGTERM
_QUICK = (signal.SIGINT, signal.SIGQUIT)
_TWICE = ("on_starting", "when_ready", "on_exit")


def answer(site: Site, program: Program) -> Iterator[Finding]:
    """Say whether it could be rolled now, by what its Gunicorn and the listener tell."""
    told = program.told
    refused = str(getattr(told, "refused", "") or getattr(told, "why", ""))
    if told is None:
        if site.running is not None:  # else that is said once
            cure = "see its log, and start it" if program.state != "RUNNING" else ""
            yield warning(f"{program.unheard}: only its files were checked", program.where, cure)
    elif program.plan is not None:
        plan = program.plan
        ready = f"{plan.ready} of {plan.desired} workers ready"
        if plan.ready < plan.desired:
            yield warning(f"it has {ready}", program.where, "see its log, and rollstatus")
        else:
            yield ok(f"its Gunicorn {plan.gunicorn} reports, with all hooks; {ready}")
    else:
        hidden = refused.replace(HOOK_LINE, "\0")  # which has a semicolon of its own
        parts = re.split(r"; |: (?=end its )", hidden, maxsplit=1)
        why, cure = (one.replace("\0", HOOK_LINE) for one in (*parts, "")[:2])
        yield error(why, program.where, cure)


def hooks_version(site: Site, program: Program) -> Iterator[Finding]:
    if program.plan is not None and program.plan.hooks != __version__:
        yield warning(
            f"its Gunicorn runs the hooks of supervisor_roll {program.plan.hooks or '(earlier)'},"
            f" and {__version__} is installed here",
            program.where,
            "install it in the application's environment, then supervisorctl rollrestart"
            f" --strategy arbiter {program.section.namespec}",
        )


def package(site: Site, program: Program) -> Iterator[Finding]:
    """Its own environment needs supervisor_roll: without, Gunicorn does not start."""
    if program.plan is None and program.installed is not None:
        version = program.installed.get("supervisor_roll")
        pip = f"{Path(program.executable).parent}/pip install --no-deps supervisor_roll"
        if version is None:
            yield error(f"{program.executable} has no supervisor_roll", program.where, pip)
        elif version != __version__:
            text = f"{program.executable} has supervisor_roll {version}, not {__version__}"
            yield warning(text, program.where, f"{pip}=={__version__}")


def wrapper(site: Site, program: Program) -> Iterator[Finding]:
    if program.told is not None:
        return
    name = program.conf.command.wrapper or _script_around(program)
    cure = wrapper_cure(name)
    if name and (cure or not program.conf.command.executes):
        yield warning(
            f"its command runs {name}, which may stay between supervisord and Gunicorn: signals"
            " would not reach the arbiter",
            program.where,
            cure,
        )


def hooks(site: Site, program: Program) -> Iterator[Finding]:
    conf = program.conf
    file, where = conf.file, conf.path or program.where
    if conf.problem:
        yield warning(f"its configuration file: {conf.problem}", where)
    elif file is None:
        if program.told is None:
            yield warning("which gunicorn.conf.py it reads does not show", program.where)
    elif file.late:
        yield error(
            f"its file sets {', '.join(sorted(file.late))} after the hooks were installed",
            where,
            f"move this line to the end: {HOOK_LINE}",
        )
    elif program.told is None and file.hooks is not None:
        missing = [one for one in HOOKS if one not in file.hooks]
        if missing:
            which = "without the hooks" + (f" {' '.join(missing)}" if file.hooks else "")
            yield error(f"its Gunicorn starts {which}", where, f"end the file with: {HOOK_LINE}")
        else:
            yield ok("its gunicorn.conf.py installs the hooks", where)


def environment(site: Site, program: Program) -> Iterator[Finding]:
    if SOCKET_VARIABLE in program.section.process.environment:
        yield error(
            f"environment= sets {SOCKET_VARIABLE}, by which the hooks find the listener",
            program.where,
            "remove it: supervisord gives the right one",
        )
    elif "env -i" in program.section.process.command and program.told is None:
        yield warning(
            "env -i drops what supervisord gives",
            program.where,
            f'env -i {SOCKET_VARIABLE}="${SOCKET_VARIABLE}" ..., or environment= instead',
        )


def stop_time(site: Site, program: Program) -> Iterator[Finding]:
    graceful = program.plan.graceful_timeout if program.plan else 0.0
    secs = graceful or program.conf.seconds("graceful_timeout")
    waits = program.section.process.stopwaitsecs
    if secs is None:
        return
    if waits <= secs:
        yield warning(
            f"stopwaitsecs is {waits}, and Gunicorn takes up to graceful_timeout={secs:g} s to"
            " finish its requests: supervisord KILLs it before",
            program.where,
            f"set stopwaitsecs={secs + _MARGIN_SECS:.0f} or more",
        )
    else:
        yield ok(f"stopwaitsecs={waits} is above graceful_timeout={secs:g}")
    timeout = program.conf.seconds("timeout")
    if timeout is not None and timeout > secs:
        yield warning(
            f"a request may take timeout={timeout:g} s, but is cut off after"
            f" graceful_timeout={secs:g} s when supervisord stops the program",
            program.conf.path or program.where,
            f"set graceful_timeout = {timeout:g}, and stopwaitsecs above it",
        )


def stop_signal(site: Site, program: Program) -> Iterator[Finding]:
    number = program.section.process.stopsignal
    if number == _GRACEFUL:
        return
    name = signal.Signals(number).name[3:] if number in set(signal.Signals) else number
    if number in _QUICK:
        why, level = "makes Gunicorn drop its requests", warning
    else:
        why, level = "does not stop Gunicorn in order", error
    yield level(f"stopsignal={name} {why}", program.where, "set stopsignal=TERM")


def boot_timeout(site: Site, program: Program) -> Iterator[Finding]:
    plan = program.plan
    if plan is None or not program.gunicorn_version:
        return
    if GunicornFacts(plan.gunicorn, timeout=plan.timeout).nearly_ends(plan.boot_secs):
        yield warning(
            f"a boot takes {plan.boot_secs:.1f} s, and before version 22 Gunicorn kills a worker"
            f" that boots for timeout={plan.timeout:g} s",
            program.conf.path or program.where,
            f"set timeout = {2 * plan.boot_secs:.0f} or more",
        )


def reload(site: Site, program: Program) -> Iterator[Finding]:
    if program.conf.on("reload") and (program.told is None or program.plan is not None):
        yield error(
            "it has reload: a worker serves the error in place of a release that does not load",
            program.conf.path or program.where,
            "turn reload off",
        )


def reuse_port(site: Site, program: Program) -> Iterator[Finding]:
    if program.conf.on("reuse_port") and program.told is None:
        yield error(
            "it has reuse_port: each worker or arbiter has a socket of its own, and connections"
            " that wait there are lost with it",
            program.conf.path or program.where,
            "turn reuse_port off",
        )


def preload_app(site: Site, program: Program) -> Iterator[Finding]:
    if program.conf.on("preload_app"):
        yield ok("it has preload_app: each rollout replaces its arbiter", program.conf.path)


def two_arbiters(site: Site, program: Program) -> Iterator[Finding]:
    defined = program.conf.file.defined if program.conf.file else frozenset[str]()
    names = [one for one in _TWICE if one in defined]
    if names:
        yield warning(
            f"its own {', '.join(names)} will run in two arbiters at once, while one is replaced",
            program.conf.path,
            "see that what they take (a port, a lock, a file) can be taken twice",
        )


def resources(site: Site, program: Program) -> Iterator[Finding]:
    found = (program.plan.memory, program.plan.processes) if program.plan else ()
    for one in found:
        if one is not None and not one.fits:
            yield warning(
                f"a rollout's surge does not fit: {one.text}",
                program.where,
                "make room, or set max_surge=0 and max_unavailable=1 in"
                f" [roll:{program.section.name}]",
            )


def _script_around(program: Program) -> str:
    """Return the name of a shell script that runs gunicorn without exec, if its command is one."""
    words = program.section.process.command.split()
    if not words or program.conf.command.gunicorn:
        return ""
    try:
        text = read_bytes(Path(program.directory, words[0])).decode("utf-8", "replace")
    except Unreadable:
        return ""
    lines = [one.strip() for one in text.splitlines()]
    runs = [one for one in lines if "gunicorn" in one and not one.startswith("#")]
    shell = lines and lines[0].startswith("#!") and "sh" in lines[0]
    return "sh" if shell and runs and not any("exec " in one for one in runs) else ""


CHECKS: tuple[Callable[[Site, Program], Iterator[Finding]], ...] = (
    answer,
    hooks,
    hooks_version,
    package,
    wrapper,
    environment,
    stop_time,
    stop_signal,
    boot_timeout,
    reload,
    reuse_port,
    preload_app,
    two_arbiters,
    resources,
)
