"""What is checked of an installation as a whole. A check is a function in CHECKS."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from supervisor_roll import __version__
from supervisor_roll.installation.finding import Finding, error, ok, warning
from supervisor_roll.installation.running import Running
from supervisor_roll.installation.site import Program, Site
from supervisor_roll.rollout.installing import LISTENER_BUFFER_SIZE, LISTENER_EVENTS
from supervisor_roll.wire import mailbox as wire

_INIT = "supervisor-roll init {path} writes it"


def listens(running: Running) -> bool:
    """Whether there is a listener that takes requests."""
    listener = running.roll.listener if running.roll else None
    return listener is not None and listener.state in wire.LISTENING


def configuration_file(site: Site) -> Iterator[Finding]:
    path = site.conf.path
    used = site.running.listener_environment.get(wire.CONFIG_VARIABLE, "") if site.running else ""
    if used and os.path.realpath(used) != os.path.realpath(path):
        yield error(
            f"the supervisord that runs was started with {used}",
            path,
            f"name that one: supervisorctl -c {used}, supervisor-roll doctor -c {used}",
        )
    elif site.others:
        yield warning(
            "supervisorctl takes this file here, and in another directory perhaps another one:"
            f" {', '.join(site.others)}",
            path,
            "name one with -c, for supervisord and for supervisorctl",
        )
    else:
        yield ok(f"the configuration is {path}")


def accepted_by_supervisord(site: Site) -> Iterator[Finding]:
    if site.conf.refused:
        yield error(
            f"supervisord cannot read its configuration: {site.conf.refused}",
            site.conf.path,
            "correct it; until then no change of any program can be applied",
        )
    else:
        yield ok("supervisord can read its configuration")


def http_server(site: Site) -> Iterator[Finding]:
    present = [one for one in ("unix_http_server", "inet_http_server") if one in site.conf.files]
    if present:
        yield ok(f"supervisord answers: [{present[0]}] is there", site.conf.where(present[0]))
    else:
        yield _missing(site, "unix_http_server", "neither supervisorctl nor the listener gets in")


def supervisor_interface(site: Site) -> Iterator[Finding]:
    yield from _needed(site, "rpcinterface:supervisor", "supervisorctl cannot ask anything")


def supervisorctl_section(site: Site) -> Iterator[Finding]:
    yield from _needed(site, "supervisorctl", "supervisorctl does not start", only_main=True)


def commands(site: Site) -> Iterator[Finding]:
    yield from _needed(
        site, "ctlplugin:roll", "supervisorctl does not know rollrestart", only_main=True
    )


def roll_interface(site: Site) -> Iterator[Finding]:
    yield from _needed(site, "rpcinterface:roll", "supervisord takes no rollouts")


def event_listener(site: Site) -> Iterator[Finding]:
    section = "eventlistener:roll"
    yield from _needed(site, section, "nothing rolls")
    if section not in site.conf.files:
        return
    where = site.conf.where(section)
    events = {one.strip().upper() for one in site.conf.get(section, "events").split(",")}
    broad = {"EVENT"} & events
    missing = [one for one in LISTENER_EVENTS if one not in events and not broad]
    if missing:
        yield error(
            f"the listener is not told of {', '.join(missing)}",
            where,
            f"set events = {','.join(LISTENER_EVENTS)}",
        )
    size = site.conf.get(section, "buffer_size", "10")
    if not size.isdecimal() or int(size) < LISTENER_BUFFER_SIZE:
        yield warning(
            f"buffer_size is {size}: of more events at once supervisord drops the oldest",
            where,
            f"set buffer_size = {LISTENER_BUFFER_SIZE}",
        )


def roll_sections(site: Site) -> Iterator[Finding]:
    for section in site.conf.files:
        kind, is_one, name = section.partition(":")
        if kind == "roll" and is_one and name.strip() not in site.conf.names():
            yield error(
                f"no [program:{name}] or [fcgi-program:{name}] is configured",
                site.conf.where(section),
                "give it the program's name, or remove it",
            )


def supervisord_runs(site: Site) -> Iterator[Finding]:
    if site.running is None:
        yield warning(
            f"no supervisord answers ({site.unreachable}): only the files were checked",
            site.conf.where("supervisorctl"),
            "start supervisord, or run this as a user who may use supervisorctl",
        )
    elif site.running.roll is None:
        yield error(
            "the supervisord that runs has not loaded [rpcinterface:roll]",
            site.conf.where("rpcinterface:roll"),
            "restart supervisord once (or supervisorctl reload, which restarts the programs)",
        )
    else:
        yield ok(
            f"supervisord {site.running.version} (pid {site.running.pid}) has [rpcinterface:roll]"
        )


def listener(site: Site) -> Iterator[Finding]:
    if site.running is None or site.running.roll is None:
        return
    known, where = site.running.roll.listener, site.conf.where("eventlistener:roll")
    if known is None:
        yield error(
            "no listener has connected",
            where,
            "supervisorctl update, if it is new; else see supervisorctl tail roll stderr",
        )
    elif known.state not in wire.LISTENING:
        yield error(
            f"the listener is {known.state}",
            where,
            "see supervisorctl tail roll stderr, then supervisorctl start roll",
        )
    elif known.trouble:
        yield error(f"the listener: {known.trouble}", where, "see supervisorctl tail roll stderr")
    else:
        yield ok(f"the listener runs (pid {known.pid})")


def versions(site: Site) -> Iterator[Finding]:
    if site.running is None or site.running.roll is None:
        return
    known = site.running.roll.listener
    by_whom = [("supervisord", site.running.roll.package_version or "an earlier one")]
    if known is not None:
        by_whom.append(("the listener", known.package_version or "an earlier one"))
    others = [f"{who} runs {version}" for who, version in by_whom if version != __version__]
    if others:
        yield warning(
            f"supervisor_roll {__version__} is installed here, but {' and '.join(others)}",
            cure="restart supervisord (or only the listener: supervisorctl restart roll)",
        )
    else:
        yield ok(f"supervisord and the listener run supervisor_roll {__version__}")


def socket_directory(site: Site) -> Iterator[Finding]:
    path = site.socket_directory
    where = site.conf.where("rpcinterface:roll")
    if site.running is None or not listens(site.running):
        return  # the listener makes it
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as why:
        yield error(
            f"the sockets' directory {path} cannot be reached: {why.strerror}",
            where,
            "restart the listener: supervisorctl restart roll",
        )
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        yield error(
            f"{path} is no directory that only supervisord's user may write to",
            where,
            f"chmod go-w {path}, or set socket to another path",
        )
        return
    unreached = 0
    for program in site.programs:
        uid = program.section.process.uid
        barrier = unreachable_for(uid, path)
        if uid and not barrier and program.state == "RUNNING" and not Path(path, str(uid)).exists():
            barrier = f"the listener has no socket for user {uid} in {path}"
        if barrier:
            unreached += 1
            yield error(
                f"{barrier}, so that the workers of {program.section.namespec} cannot say anything",
                where,
                "let that user through, or set socket to a path that each user can reach",
            )
    if not unreached:
        yield ok(f"each program's user reaches {path}")


def control_socket(site: Site) -> Iterator[Finding]:
    """Gunicorn 25.1 on opens the same one for all Gunicorns of a user, who then share it."""
    by_user: dict[int | None, list[Program]] = {}
    for one in site.programs:
        own = one.conf.on("control_socket_disable") or "control_socket" in one.conf.values
        unlike = {"HOME", "XDG_RUNTIME_DIR"} & one.section.process.environment.keys()
        if one.gunicorn_version >= (25, 1) and not own and not unlike:
            by_user.setdefault(one.section.process.uid, []).append(one)
    for shared in by_user.values():
        if len(shared) > 1:
            names = ", ".join(one.section.namespec for one in shared)
            yield warning(
                f"{names} open the same control socket, and each removes it from the others",
                ", ".join(one.conf.path or one.where for one in shared),
                "set control_socket_disable = True in each, or a control_socket of its own",
            )


def _needed(site: Site, section: str, without: str, only_main: bool = False) -> Iterator[Finding]:
    files = site.conf.files.get(section, [])
    if files and only_main and not site.conf.main.has_section(section):
        yield error(
            f"[{section}] is in {' and '.join(files)}, but supervisorctl does not read what"
            f" supervisord.conf includes: {without}",
            site.conf.where(section),
            f"move it to {site.conf.path}",
        )
    elif files:
        yield ok(f"[{section}] is there", site.conf.where(section))
    else:
        yield _missing(site, section, without)


def _missing(site: Site, section: str, without: str) -> Finding:
    cure = f"add [{section}]; {_INIT.format(path=site.conf.path)}"
    return error(f"[{section}] is missing: {without}", site.conf.path, cure)


def unreachable_for(uid: int | None, directory: str) -> str:
    """Why a user cannot reach a directory; empty if it can, or that is not known."""
    if not uid:
        return ""  # supervisord's own user, or root
    try:
        user = pwd.getpwuid(uid)
        groups = {
            user.pw_gid,
            *(one.gr_gid for one in grp.getgrall() if user.pw_name in one.gr_mem),
        }
    except KeyError:
        return ""
    for folder in reversed([Path(directory), *Path(directory).parents]):
        try:
            found = folder.stat()
        except OSError as why:
            return f"{folder}: {why.strerror}"
        mine = found.st_uid == uid, found.st_gid in groups
        bit = stat.S_IXUSR if mine[0] else stat.S_IXGRP if mine[1] else stat.S_IXOTH
        if not found.st_mode & bit:
            return f"user {user.pw_name} may not pass {folder}"
    return ""


CHECKS: tuple[Callable[[Site], Iterator[Finding]], ...] = (
    configuration_file,
    accepted_by_supervisord,
    http_server,
    supervisor_interface,
    supervisorctl_section,
    commands,
    roll_interface,
    event_listener,
    roll_sections,
    supervisord_runs,
    listener,
    versions,
    socket_directory,
    control_socket,
)
