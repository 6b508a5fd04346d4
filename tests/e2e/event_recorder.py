"""An event listener of supervisord's: appends each event, as ``KIND NAME PID``, to a file.

Run by the path of that file. A pid is only there where supervisord tells it.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    record = Path(sys.argv[1])
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        header = dict(token.split(":", 1) for token in sys.stdin.readline().split())
        if not header:
            return
        payload = sys.stdin.read(int(header["len"])).split("\n", 1)[0]
        fields = dict(token.split(":", 1) for token in payload.split())
        with record.open("a") as file:
            file.write(f"{header['eventname']} {fields['processname']} {fields.get('pid', '')}\n")
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
