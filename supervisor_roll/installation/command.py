"""The command line of ``supervisor-roll``."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from supervisor_roll import __version__
from supervisor_roll.installation import doctor, init
from supervisor_roll.installation.finding import ERROR, STATUS, WARNING

# XML-RPC's connections have none of their own: a supervisord that hangs must not hang us.
_CONNECTION_SECS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = _parser().parse_args(arguments)
    socket.setdefaulttimeout(_CONNECTION_SECS)
    try:
        if given.command == "init":
            return init.run(given.files, yes=given.yes, undo=given.undo)
        return _doctor(given.configuration, as_json=given.json)
    except BrokenPipeError:
        # ``| head``: nor must Python complain as it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _doctor(path: str, as_json: bool) -> int:
    levels = []
    program = ""
    for one in doctor.findings(path):
        levels.append(one.level)
        if as_json:
            print(one.json())
            continue
        if one.program != program:
            program = one.program
            print(f"\n{program}")
        for line in one.lines():
            print(line)
    if not as_json:
        errors, warnings = levels.count(ERROR), levels.count(WARNING)
        print(f"\n{_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return max(STATUS[one] for one in levels)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="supervisor-roll", description="Check or make an installation of supervisor_roll."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "doctor",
        help="check an installation, and say what to change",
        description="Check an installation line by line, and say what to change. It changes"
        " nothing. Exit status: 0 if all is well, 1 with warnings, 2 with errors.",
    )
    check.add_argument(
        "-c",
        "--configuration",
        metavar="FILE",
        default="",
        help="supervisord.conf; by default the one that supervisorctl finds",
    )
    check.add_argument("--json", action="store_true", help="print a JSON object a line")
    make = commands.add_parser(
        "init",
        help="write what is missing into supervisord.conf and gunicorn.conf.py",
        description="Write the missing sections into a supervisord.conf, and the hooks' line into"
        " a gunicorn.conf.py (a name that ends in .py). It shows the difference and asks. Exit"
        " status: 0 if all is written or there already, 1 if you said no, 2 if it cannot be done.",
    )
    make.add_argument("files", nargs="+", metavar="FILE", help="supervisord.conf, gunicorn.conf.py")
    make.add_argument("--yes", action="store_true", help="do not ask")
    make.add_argument("--undo", action="store_true", help="take out exactly what was written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
