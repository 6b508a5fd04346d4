"""Deploy a release in eight ways, on the same application, load and worker count."""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version

from compare import report
from compare.measure import measured
from compare.peers import PEERS, Peer
from compare.scenarios import SCENARIOS, Scenario
from tests.harness.venvs import packages_venv


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "compare",
        help="rollrestart beside Gunicorn's, uWSGI's and uvicorn's own reloads and others",
        description="Deploy releases in each scenario by rollrestart and by what people use in its "
        "place, one after the other. All of it takes about a quarter of an hour; nothing else "
        "should run meanwhile. It exits with 1 if rollrestart lost a request.",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="peers, or scenarios, with TEXT in their names; may be repeated",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the order that the peers have (%(default)s)"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="put the tables and a plot of them into the documentation; not with --only",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables; 1 if ``rollrestart`` lost a request."""
    if options.write and options.only:
        sys.exit("scripts/bench compare: the documentation has all of it: --write without --only")
    peers, scenarios = _chosen(options.only)
    versions, missing = _installed(peers)
    results: report.Results = {}
    order = [one for one in peers if one.title not in missing]
    dice = random.Random(options.seed)
    for scenario in scenarios:
        dice.shuffle(order)
        for peer in order:
            try:
                results[peer.title, scenario.name] = measured(peer, scenario)
            except AssertionError as error:
                missing[f"{peer.title}, {scenario.name}"] = str(error)
            print(report.line(peer, scenario, results), flush=True)
    tables = report.Report(peers, scenarios, results, versions, missing)
    print(f"\n{tables.text()}")
    if options.write:
        tables.write()
    ours = [one for (title, _), one in results.items() if title.startswith("rollrestart")]
    return 1 if any(one.failed for one in ours) else 0


def _chosen(only: Iterable[str]) -> tuple[list[type[Peer]], list[Scenario]]:
    peers, scenarios = set(), set()
    for text in only:
        found = [one for one in PEERS if text in one.title]
        fitting = [one for one in SCENARIOS if text in one.name]
        if not found and not fitting:
            names = [*(one.title for one in PEERS), *(one.name for one in SCENARIOS)]
            sys.exit(f"scripts/bench compare: {text!r} is in none of: {'; '.join(names)}")
        peers.update(found)
        scenarios.update(fitting)
    return (
        [one for one in PEERS if one in peers or not peers],
        [one for one in SCENARIOS if one in scenarios or not scenarios],
    )


def _installed(peers: Iterable[type[Peer]]) -> tuple[list[str], dict[str, str]]:
    """The versions of what is compared, and why which peers cannot be installed."""
    versions = [f"Gunicorn {version('gunicorn')}", f"supervisor {version('supervisor')}"]
    missing = {}
    for peer in peers:
        if not peer.package:
            continue
        try:
            command = packages_venv(peer.package) / peer.package
        except RuntimeError as error:
            missing[peer.title] = f"pip cannot install it: {str(error).splitlines()[-1]}"
            continue
        said = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
        found = re.search(r"\d+(\.\d+)+", said)
        versions.append(f"{peer.package} {found[0] if found else said}")
    python = ".".join(map(str, sys.version_info[:3]))
    return [*versions, f"Python {python}", f"{os.cpu_count()} cores"], missing
