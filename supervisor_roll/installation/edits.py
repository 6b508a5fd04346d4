"""What ``init`` adds to a file, and how that is taken out again. Pure: bytes to bytes.

What is added is marked and comes last, so that what was there stays as it is, to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from supervisor_roll.rollout.installing import HOOK_LINE, LISTENER_BUFFER_SIZE, LISTENER_EVENTS

_BEGIN = "; written by supervisor-roll init; --undo takes it out, up to:"
_END = "; end of what supervisor-roll init wrote"
_HOOKS = f"{HOOK_LINE}  # by supervisor-roll init"

# In this order, each with its lines. The first three are what supervisorctl needs anyway.
SECTIONS = {
    "unix_http_server": ("file = {socket}", "chmod = 0700"),
    "rpcinterface:supervisor": (
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ),
    "supervisorctl": ("serverurl = {url}",),
    "ctlplugin:roll": ("supervisor.ctl_factory = supervisor_roll.ctl:make_plugin",),
    "rpcinterface:roll": (
        "supervisor.rpcinterface_factory = supervisor_roll.rpc:make_rpcinterface",
    ),
    "eventlistener:roll": (
        "command = /bin/sh -c 'exec \"${{SUPERVISOR_ROLL_PYTHON:?is not set: supervisord.conf needs"
        " a [unix_http_server] or [inet_http_server], and supervisord a restart since this file is"
        " included}}\" -m supervisor_roll.listener'",
        f"events = {','.join(LISTENER_EVENTS)}",
        f"buffer_size = {LISTENER_BUFFER_SIZE}",
        "autorestart = true",
    ),
}


def with_sections(data: bytes, sections: Iterable[str], socket: str, url: str) -> bytes:
    """Return a supervisord.conf with these sections added."""
    lines = [_BEGIN]
    for section in sections:
        texts = (one.format(socket=socket, url=url) for one in SECTIONS[section])
        lines += [f"[{section}]", *texts, ""]
    if len(lines) == 1:
        return data
    return _added(data, [*lines[:-1], _END])


def with_hooks(data: bytes) -> bytes:
    """Return a gunicorn.conf.py with the hooks' line added."""
    return _added(data, [_HOOKS])


def without(data: bytes) -> bytes:
    """Return a file without what was added to it."""
    sections = rb"\r?\n" + re.escape(_BEGIN.encode()) + rb"\r?\n.*?" + re.escape(_END.encode())
    hooks = rb"\r?\n" + re.escape(_HOOKS.encode())
    return re.sub(rb"(?s)(?:%b|%b)\r?\n" % (sections, hooks), b"", data)


def _added(data: bytes, lines: Iterable[str]) -> bytes:
    # The first line end completes a last line that has none, or else is an empty line.
    end = b"\r\n" if b"\r\n" in data else b"\n"
    return data + end + b"".join(one.encode() + end for one in lines)
