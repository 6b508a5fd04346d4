"""A listener with one readiness socket that becomes its stand-in at once.

Executed again it writes what it finds as JSON to the file ``woken``, and ends. Its arguments: the
folder that this is all in, the pid of a process to watch (0: none), how often to look at files.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from supervisor_roll.listener.edges.file_watch import fingerprint
from supervisor_roll.listener.edges.socket_store import HeldSockets, StoredSocket
from supervisor_roll.listener.edges.user_socket import Bound
from supervisor_roll.listener.idle.handover import Handover, become_stand_in, taken
from supervisor_roll.rollout.events import InstanceId

UID = os.geteuid()


def descriptors() -> dict[int, str]:
    found = {}
    for one in Path("/proc/self/fd").iterdir():
        try:
            found[int(one.name)] = str(one.readlink())
        except OSError:
            continue  # the one that they were listed through
    return found


def main(folder: Path, watched: int, look_secs: float) -> None:
    handover = taken()
    if handover is None:
        begin(folder, watched, look_secs)
    else:
        end(folder, handover)


def begin(folder: Path, watched: int, look_secs: float) -> None:
    readiness = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    (folder / "sockets").mkdir()
    path = folder / "sockets" / "0"
    readiness.bind(str(path))
    held = socket.create_server(("127.0.0.1", 0))
    found = path.stat()
    os.set_blocking(0, False)
    become_stand_in(
        Handover(
            os.getpid(),
            os.getppid(),
            [Bound(UID, readiness.fileno(), found.st_dev, found.st_ino)],
            [HeldSockets(InstanceId(2, 3), "web", [StoredSocket("x", held.fileno())])],
        ),
        [os.pidfd_open(watched)] if watched else [],
        {str(one): fingerprint(str(one)) for one in (folder / "watched", folder / "missing")},
        [str(path.parent), str(path)],
        look_secs or None,
    )


def end(folder: Path, handover: Handover) -> None:
    [bound] = handover.bound
    readiness = socket.socket(fileno=bound.fd)
    readiness.setblocking(False)
    try:
        received = readiness.recv(100).decode()
    except BlockingIOError:
        received = ""
    held = [one.fd for each in handover.held for one in each.sockets]
    text = json.dumps(
        {
            "pid": os.getpid(),
            "received": received,
            "environment": dict(os.environ),
            "arguments": sys.orig_argv,
            "folder": str(Path.cwd()),
            "umask": os.umask(0),
            "own": [bound.fd, *held],
            "inheritable": [fd for fd in (bound.fd, *held) if os.get_inheritable(fd)],
            "descriptors": descriptors(),
        }
    )
    (folder / "woken.part").write_text(text)
    (folder / "woken.part").rename(folder / "woken")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
