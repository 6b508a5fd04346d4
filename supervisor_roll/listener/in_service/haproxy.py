"""A script: puts a server of HAProxy's into drain, or back, by HAProxy's runtime API.

``haproxy.py SOCKET BACKEND/SERVER drain|ready SECS``. Of a drain it waits until the server's
sessions are gone, for SECS at most, and prints how many are left. It runs beside the listener.
"""

from __future__ import annotations

import csv
import socket
import sys
import time

ANSWER_SECS = 5.0
LOOK_SECS = 0.2
MAX_BYTES = 1024 * 1024


def main(where: str, server: str, state: str, secs: str) -> int:
    """Return the exit status; what went wrong is printed."""
    try:
        refused = ask(where, f"set server {server} state {state}").strip()
        if refused:
            print(f"HAProxy refuses `set server {server} state {state}`: {refused}")
            return 1
        until = time.monotonic() + float(secs)
        while state == "drain":
            left = sessions(where, server)
            if left == 0 or time.monotonic() >= until:
                print(left)
                break
            time.sleep(LOOK_SECS)
    except (OSError, ValueError) as error:
        print(f"HAProxy at {where}: {error}")
        return 1
    return 0


def sessions(where: str, server: str) -> int:
    """Return how many sessions the server has. Raises OSError and ValueError."""
    backend, _, name = server.partition("/")
    rows = ask(where, f"show stat {backend} 4 -1").lstrip("# ").splitlines()
    for row in csv.DictReader(rows):
        if (row.get("pxname"), row.get("svname")) == (backend, name):
            return int(row["scur"]) + int(row["qcur"])
    raise ValueError(f"it knows no server {server}")


def ask(where: str, command: str) -> str:
    """Return the answer to one command, at a path or at ADDRESS:PORT. Raises OSError."""
    if where.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_SECS)
        connection.connect(where)
    else:
        host, _, port = where.rpartition(":")
        connection = socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECS)
    with connection:
        connection.sendall(f"{command}\n".encode())
        answer = b""
        while len(answer) < MAX_BYTES and (more := connection.recv(65536)):
            answer += more
    return answer.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
