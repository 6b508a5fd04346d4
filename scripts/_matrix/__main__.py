"""Try rollouts with each Python, Gunicorn and supervisor, one combination after the other.

Of each: a release rolled out by each strategy and one that cannot boot, under load. What held goes
into a table in docs/versions.rst, beside what is known of the combinations not tried this time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness.told_to_go import exit_when_told
from tests.harness.venvs import CACHE, CHECKOUT

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
GUNICORNS = ("20.1.0", "21.2.0", "22.0.0", "23.0.0", "25.3.0", "26.2.0", "27.0.1")
SUPERVISORS = ("4.2.5", "4.3.0")
#: Both, as they were up to their older versions, import pkg_resources; from 80.9 on that warns.
BESIDE = ("setuptools<80.9", "psutil")
FOLDER = CACHE / "matrix"
KNOWN = FOLDER / "known.json"
PAGE = CHECKOUT / "docs" / "versions.rst"
BEGIN, END = ".. matrix: written by scripts/matrix\n", ".. end of the matrix\n"
HELD, BROKEN, NOT_INSTALLED, NOT_FOUND = "held", "BROKEN", "cannot be installed", "not found"


class Cell(NamedTuple):
    python: str
    gunicorn: str
    supervisor: str

    def __str__(self) -> str:
        return f"Python {self.python}, Gunicorn {self.gunicorn}, supervisor {self.supervisor}"


CELLS = [Cell(*one) for one in itertools.product(PYTHONS, GUNICORNS, SUPERVISORS)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/matrix", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="TEXT",
        help="combinations with TEXT in their name, such as 'Gunicorn 23'; of several, with each",
    )
    parser.add_argument("--list", action="store_true", help="list them, and try none")
    options = parser.parse_args()
    chosen = [one for one in CELLS if all(text in str(one) for text in options.only or ())]
    if not chosen:
        parser.error("there is no such combination; see --list")
    if options.list:
        print("\n".join(map(str, chosen)))
        return 0
    exit_when_told()
    FOLDER.mkdir(parents=True, exist_ok=True)
    known: dict[str, str] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    try:
        for cell in chosen:
            began = time.monotonic()
            known[str(cell)], why = _tried(cell)
            print(f"{cell!s:<55}{time.monotonic() - began:>5.0f} s  {known[str(cell)]}", flush=True)
            print("".join(f"    {line}\n" for line in why.splitlines()), end="", flush=True)
            KNOWN.write_text(json.dumps(known))
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130
    table = _table(known)
    _write(table)
    print(f"\n{table}")
    return 1 if BROKEN in {known[str(cell)] for cell in chosen} else 0


def _tried(cell: Cell) -> tuple[str, str]:
    """What is known of a combination now, and more of what is wrong with it."""
    python = _found(cell.python)
    if python is None:
        return NOT_FOUND, ""
    venv = FOLDER / f"python{cell.python}"
    if not list(venv.glob("lib/python3*/site-packages/checkout.pth")):
        _run(python, "-m", "venv", "--clear", str(venv))
        (packages,) = venv.glob("lib/python3*/site-packages")
        (packages / "checkout.pth").write_text(f"{CHECKOUT}\n")
    interpreter = str(venv / "bin" / "python")
    wanted = (f"gunicorn=={cell.gunicorn}", f"supervisor=={cell.supervisor}", *BESIDE)
    try:
        _run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)
    except subprocess.CalledProcessError as error:
        return NOT_INSTALLED, error.stdout
    try:
        broken = _run(interpreter, str(Path(__file__).with_name("trial.py")))
    except subprocess.CalledProcessError as error:
        broken = error.stdout
    except subprocess.TimeoutExpired as error:
        broken = f"it has not ended: {error}"
    return (BROKEN if broken else HELD), broken


def _found(version: str) -> str | None:
    """The command of a Python of that version that runs, and can make environments."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True),
    ]
    test = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", test], capture_output=True).returncode == 0:
            return candidate
    return None


def _run(*command: str) -> str:
    """What a command writes. Raises CalledProcessError, which has that too."""
    return subprocess.run(
        command,
        check=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout


def _table(known: dict[str, str]) -> str:
    head = ("Gunicorn", "supervisor", *(f"Python {one}" for one in PYTHONS))
    rows = [
        (*pair, *(known.get(str(Cell(one, *pair)), "not tried") for one in PYTHONS))
        for pair in itertools.product(GUNICORNS, SUPERVISORS)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def _write(table: str) -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())
