"""An event listener that appends what it is told to the file that is its argument."""

from __future__ import annotations

import sys
from pathlib import Path

while True:
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    header = dict(part.split(":") for part in sys.stdin.readline().split())
    payload = sys.stdin.read(int(header["len"]))
    with Path(sys.argv[1]).open("a") as out:
        out.write(f"{header['eventname']} {payload}\n")
    sys.stdout.write("RESULT 2\nOK")
    sys.stdout.flush()
