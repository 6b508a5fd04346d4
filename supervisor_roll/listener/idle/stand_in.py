"""What an idle listener executes in its own place: it takes 3 MiB where the listener takes 20.

It is the same process, with the same environment and descriptors. It answers supervisord's ticks,
and at the first sign that there is something to do it executes the listener again. It takes
nothing out of a queue, and nothing is decided here. What it imports it pays for: ``json``, 1 MiB.
"""

from __future__ import annotations

import marshal
import os
import select
import time

from supervisor_roll.listener.edges.file_watch import fingerprint
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire import listener_protocol

# The number of the descriptor with the handover, in the environment of the listener.
VARIABLE = "SUPERVISOR_ROLL_HANDOVER"
RETRY_SECS = 1.0


def standing(path: str) -> str:
    """Stand for what is at ``path``, whose it is, and who may use it; empty if nothing is there."""
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    return f"{found.st_dev} {found.st_ino} {found.st_uid} {found.st_mode:o}"


def main(memory: int) -> int:
    """Wait, by what is handed over in ``memory``, a descriptor. Returns only if supervisord ends.

    ``awaited``: descriptors that are readable when there is something to do; ``ended`` those of
    them that the listener opens itself. ``files`` and ``sockets``: what was at these paths.
    ``look_secs``: how often to look there, where each tick is not enough.
    """
    told = marshal.loads(os.pread(memory, os.fstat(memory).st_size, 0))
    for fd in told["ended"]:
        os.set_inheritable(fd, False)
    everything, supervisord = select.poll(), select.poll()
    supervisord.register(0, select.POLLIN)
    for fd in (0, *told["awaited"]):
        everything.register(fd, select.POLLIN)
    events = listener_protocol.EventReader()
    due = said = False
    while True:
        wait_secs = RETRY_SECS if due else told["look_secs"]
        poll = supervisord if due else everything
        ready = {fd for fd, _ in poll.poll(wait_secs and wait_secs * 1000)}
        if 0 in ready:
            try:
                names = _acknowledged(events)
            except (OSError, BadMessage):
                return 1
            if names is None:
                return 0
            due = due or events.lost or any(not name.startswith("TICK_") for name in names)
        due = due or bool(ready - {0}) or _differs(told)
        # What was read of an event would be missing to the listener.
        if due and not events.partial:
            try:
                os.execve(
                    told["command"][0],
                    told["command"][1:],
                    {**os.environ, VARIABLE: str(memory)},
                )
            except OSError as error:
                if not said:
                    _say(f"cannot execute {told['command'][0]} any more: {error.strerror}")
                said = True


def _acknowledged(events: listener_protocol.EventReader) -> list[str] | None:
    """Acknowledge what supervisord has sent, and return it by name; None if it has gone."""
    try:
        data = os.read(0, 65536)
    except BlockingIOError:
        return []
    if not data:
        return None
    names = events.feed(data)
    for _ in names:
        os.write(1, listener_protocol.OK + listener_protocol.READY)
    return names


def _differs(told: dict[str, dict[str, str]]) -> bool:
    return any(fingerprint(path) != one for path, one in told["files"].items()) or any(
        standing(path) != one for path, one in told["sockets"].items()
    )


def _say(text: str) -> None:
    """Write to the log, as the listener does."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(2, f"{now} ERROR {text}\n".encode(errors="backslashreplace"))
