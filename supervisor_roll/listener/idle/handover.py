"""What the listener hands to itself through the time in which its stand-in waits.

What is saved in supervisord's mailbox it takes up from there, as after a restart. Descriptors
and the queues behind them cannot be saved: they stay open.
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import supervisor_roll
from supervisor_roll.listener.edges import socket_store
from supervisor_roll.listener.edges.socket_store import HeldSockets
from supervisor_roll.listener.edges.user_socket import Bound
from supervisor_roll.listener.idle.stand_in import VARIABLE, standing
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.codec import from_json, to_json

# -I and -S: none of what Python and its site would import, nor what the environment adds.
_STAND_IN = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from supervisor_roll.listener.idle.stand_in import main; sys.exit(main(int(sys.argv[2])))"
)


@dataclass(frozen=True)
class Handover:
    """``pid`` is this process's, ``supervisord`` supervisord's."""

    pid: int
    supervisord: int
    bound: list[Bound]
    held: list[HeldSockets]

    @property
    def descriptors(self) -> list[int]:
        return [
            *(one.fd for one in self.bound),
            *(one.fd for each in self.held for one in each.sockets),
        ]


def become_stand_in(
    handover: Handover,
    ends: Sequence[int],
    files: Mapping[str, str],
    sockets: Sequence[str],
    look_secs: float | None,
) -> None:
    """Execute the stand-in in place of this process. If it returns, by OSError, all is as before.

    ``ends``: pidfds; ``files`` are fingerprints, ``sockets`` the paths of what hooks write to.
    """
    told = {
        "command": [sys.executable, *sys.orig_argv],
        "awaited": [*(one.fd for one in handover.bound), *ends],
        "ended": list(ends),
        "files": dict(files),
        "sockets": {path: standing(path) for path in sockets},
        "look_secs": look_secs,
        "handover": to_json(handover),
    }
    root = str(Path(supervisor_roll.__file__).resolve().parents[1])
    memory = os.memfd_create("supervisor_roll", os.MFD_CLOEXEC)
    kept = [memory, *ends, *handover.descriptors]
    try:
        os.write(memory, marshal.dumps(told))
        # No process is forked meanwhile that would inherit them.
        for fd in kept:
            os.set_inheritable(fd, True)
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", _STAND_IN, root, str(memory)])
    finally:
        for fd in kept:
            os.set_inheritable(fd, False)
        os.close(memory)


def taken() -> Handover | None:
    """Return what this process handed over before its stand-in executed it again, if it did.

    Raises BadMessage if it cannot be used.
    """
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return None
    try:
        memory = int(number)
        told = marshal.loads(os.pread(memory, os.fstat(memory).st_size, 0))
        os.close(memory)
        handover = from_json(Handover, told["handover"])
    except (OSError, ValueError, EOFError, TypeError, KeyError) as error:
        raise BadMessage(f"{VARIABLE}={number}: {error!r}") from error
    if handover.pid != os.getpid():
        raise BadMessage(f"{VARIABLE}={number} is process {handover.pid}'s")
    for fd in handover.descriptors:
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            raise BadMessage(f"descriptor {fd}: {error}") from error
    listens = [one.fd for each in handover.held for one in each.sockets]
    if not all(_is_datagram_socket(one.fd) for one in handover.bound) or not all(
        map(socket_store.listening, listens)
    ):
        raise BadMessage("the descriptors are not what was handed over")
    return handover


def _is_datagram_socket(fd: int) -> bool:
    try:
        one = socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        return (one.family, one.type) == (socket.AF_UNIX, socket.SOCK_DGRAM)
    finally:
        one.detach()
