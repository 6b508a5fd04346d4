"""``supervisor-roll init``: what it would write, the question, and the writing."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence

from supervisor_roll.installation import edits
from supervisor_roll.installation.files import Unreadable, read_bytes
from supervisor_roll.installation.gunicorn_conf import parsed_file
from supervisor_roll.installation.replace import replace
from supervisor_roll.installation.supervisor_conf import SupervisorConf
from supervisor_roll.rollout.installing import HOOKS
from supervisor_roll.wire.printable import printable

_MAIN_ONLY = ("ctlplugin:roll", "supervisorctl")


def run(files: Sequence[str], yes: bool, undo: bool) -> int:
    """Edit the files, and return the exit status."""
    status = 0
    for path in files:
        try:
            old = read_bytes(path)
            new = edits.without(old) if undo else wanted(path, old)
            if new == old:
                print(f"{path}: {'nothing of ours is in it' if undo else 'nothing is missing'}")
                continue
            print(_difference(path, old, new))
            if not (yes or _agreed(path)):
                print(f"{path}: left as it is")
                status = max(status, 1)
                continue
            replace(path, old, new)
            what = "the program" if path.endswith(".py") else "supervisord"
            print(f"{path}: written; it takes effect once {what} is restarted")
        except Unreadable as why:
            print(f"{why.path}: {why.why}", file=sys.stderr)
            status = 2
    return status


def wanted(path: str, old: bytes) -> bytes:
    """Return the file with what is missing. Raises Unreadable where it cannot be added."""
    if b"\0" in old:
        raise Unreadable(path, "it is no text")
    if path.endswith(".py"):
        return _gunicorn(path, old)
    conf = SupervisorConf(path)
    if conf.refused:
        raise Unreadable(path, f"supervisord cannot read it: {conf.refused}")
    has_server = {"unix_http_server", "inet_http_server"} & conf.files.keys()
    missing = [
        one
        for one in edits.SECTIONS
        if not (conf.main.has_section(one) if one in _MAIN_ONLY else one in conf.files)
        and not (one == "unix_http_server" and has_server)
    ]
    socket = "/run/supervisor.sock" if conf.path.startswith("/etc/") else "%(here)s/supervisor.sock"
    return edits.with_sections(old, missing, socket, _url(conf, socket))


def _gunicorn(path: str, old: bytes) -> bytes:
    found = parsed_file(old, path)
    if found.late:
        raise Unreadable(path, f"it sets {', '.join(sorted(found.late))} after the hooks' line")
    if found.hooks is None:
        raise Unreadable(path, "whether it installs the hooks already does not show: look at it")
    if found.hooks and found.hooks != frozenset(HOOKS):
        raise Unreadable(path, "it imports some of the hooks by name: add the others there")
    if found.hooks:
        return old
    new = edits.with_hooks(old)
    if parsed_file(new, path).hooks != frozenset(HOOKS):
        raise Unreadable(path, "a line cannot be added at its end: add it yourself")
    return new


def _url(conf: SupervisorConf, socket: str) -> str:
    """Return where supervisorctl finds supervisord."""
    for server in conf.servers:
        if "file" in server:
            return f"unix://{conf.get('unix_http_server', 'file') or server['file']}"
        return f"http://{server['host'] or 'localhost'}:{server['port']}"
    return f"unix://{socket}"


def _agreed(path: str) -> bool:
    try:
        return input(f"Write {path}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _difference(path: str, old: bytes, new: bytes) -> str:
    def lines(data: bytes) -> list[str]:
        text = data.decode("utf-8", "replace").splitlines()
        return ["\t".join(map(printable, one.split("\t"))) for one in text]

    return "\n".join(difflib.unified_diff(lines(old), lines(new), path, path, lineterm=""))
