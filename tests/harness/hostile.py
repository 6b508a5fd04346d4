"""A neighbour that means harm: writes to a site's readiness sockets until it is ended.

Run as ``hostile.py WHAT DIRECTORY UID``: it becomes that user first. It says "started" once it has
begun, or why it could not.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time


def lingering() -> tuple[socket.socket, socket.socket]:
    """A connection whose last close waits for ten minutes, and its other end, which never reads."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    one.setblocking(False)
    try:
        while True:
            one.send(b"x" * 65536)
    except BlockingIOError:
        pass
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    return one, other


def main(what: str, directory: str, user: int) -> None:
    target = f"{directory}/{os.getuid()}"
    os.setuid(user)
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sender.connect(target)
    except OSError as error:
        print(type(error).__name__, flush=True)
        return
    kept = []
    if what == "lingers":
        for _ in range(3):
            one, other = lingering()
            socket.send_fds(sender, [b"READY=1\nAGE=1"], [one.fileno()])
            # Whose close is the last one waits: this one, if the listener was quicker.
            threading.Thread(target=one.close, daemon=True).start()
            kept.append(other)
        print("started", flush=True)
        time.sleep(600)
    print("started", flush=True)
    until = time.monotonic() + 600
    while time.monotonic() < until:
        if what == "descriptors":
            socket.send_fds(sender, [b"READY=1\nAGE=1"], [sender.fileno()] * 64)
        else:
            sender.send(os.urandom(1000))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
