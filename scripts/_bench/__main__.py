"""Measure the requests that are lost and saved, and what the hooks and the listener cost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import compare
import footprint
import keepalive
import latency
import messages
import overhead
import page
import parallel
import recycle
import update

from tests.harness.told_to_go import exit_when_told


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    all_of_them = (keepalive, overhead, update, messages, latency, compare, footprint, parallel)
    for one in (*all_of_them, page, recycle):
        one.add_to(commands)
    options = parser.parse_args()
    exit_when_told()
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
