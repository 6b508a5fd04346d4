"""The outcomes as tables, and as a picture, printed and in the documentation."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compare.measure import Outcome
from compare.peers import Peer
from compare.scenarios import Scenario
from tests.harness.venvs import CHECKOUT, packages_venv

#: By the titles of the peer and the scenario.
Results = dict[tuple[str, str], Outcome]

PAGE = CHECKOUT / "docs" / "comparison.rst"
README = CHECKOUT / "README.rst"
PLOT = CHECKOUT / "docs" / "comparison.png"


def _times(ratio: float) -> str:
    return "never" if math.isinf(ratio) else f"{ratio:.1f} x"


#: The columns of a scenario's table.
FIGURES: Mapping[str, Callable[[Outcome], str]] = {
    "failed": lambda one: f"{one.failed} of {one.requests}",
    "p99": lambda one: "lost" if math.isinf(one.slower) else _times(one.slower),
    "least ready": lambda one: str(one.least_ready),
    "most": lambda one: str(one.most_workers),
    "lost worker-s": lambda one: f"{one.lost_worker_secs:.1f}",
    "done": lambda one: _times(one.over_ideal),
    "serves": lambda one: one.serves,
}
#: The columns of the overview: what of which scenario.
OVERVIEW: Mapping[str, tuple[str, str]] = {
    "least ready": ("healthy, 80 % load", "least ready"),
    "p99": ("healthy, 80 % load", "p99"),
    "slow boot": ("boot longer than patience", "failed"),
    "broken": ("broken release", "failed"),
    "sick": ("sick release", "failed"),
    "kept": ("kept connections", "failed"),
}


def line(peer: type[Peer], scenario: Scenario, results: Results) -> str:
    """What is printed once a peer has had its turn."""
    one = results.get((peer.title, scenario.name))
    said = ", ".join(f"{name} {figure(one)}" for name, figure in FIGURES.items()) if one else "-"
    errors = "".join(f"\n  {count} x {error}" for error, count in one.errors.items()) if one else ""
    return f"{scenario.name}: {peer.title}: {said}{errors}  (load average {os.getloadavg()[0]:.1f})"


@dataclass(frozen=True)
class Report:
    """All outcomes; ``missing`` says why some are not there."""

    peers: Sequence[type[Peer]]
    scenarios: Sequence[Scenario]
    results: Results
    versions: Sequence[str]
    missing: Mapping[str, str]

    def text(self) -> str:
        """A table for each scenario, and what was measured, in reStructuredText."""
        parts = [f"{', '.join(self.versions)}; load average {os.getloadavg()[0]:.1f} in the end."]
        for one in self.scenarios:
            parts += [f"{one.name[0].upper()}{one.name[1:]}: {one.said}", self._of(one)]
        parts += [f"Not measured: {what}: {why}" for what, why in self.missing.items()]
        return "\n\n".join(parts)

    def _of(self, scenario: Scenario) -> str:
        return self._table({name: (scenario.name, name) for name in FIGURES})

    def _table(self, columns: Mapping[str, tuple[str, str]]) -> str:
        rows = [["", *columns]]
        for peer in self.peers:
            cells = [
                FIGURES[figure](self.results[peer.title, scenario])
                if (peer.title, scenario) in self.results
                else "-"
                for scenario, figure in columns.values()
            ]
            rows.append([peer.title, *cells])
        return _simple_table(rows)

    def overview(self) -> str:
        """One table of the figures that tell most."""
        return self._table(OVERVIEW)

    def write(self) -> None:
        """Put the tables and the plot into the documentation."""
        self._draw()
        notes = "\n".join(
            textwrap.fill(f"* {one.title}: {one.note}", 100, subsequent_indent="  ")
            for one in self.peers
        )
        plot = f".. image:: {PLOT.name}\n   :alt: some of the figures below, as a picture"
        put(PAGE, f"{notes}\n\n{plot}\n\n{self.text()}")
        put(README, self.overview())

    def _draw(self) -> None:
        panels: dict[str, Callable[[Outcome], float]] = {
            "failed requests, %": lambda one: 100 * one.failed / one.requests,
            "p99 during over p99 before": lambda one: one.slower,
            "lost worker-seconds": lambda one: one.lost_worker_secs,
        }
        drawn = {
            "peers": [one.title for one in self.peers],
            "scenarios": [one.name for one in self.scenarios],
            "panels": {
                title: [
                    [
                        figure(self.results[peer.title, one.name])
                        if (peer.title, one.name) in self.results
                        else math.nan
                        for one in self.scenarios
                    ]
                    for peer in self.peers
                ]
                for title, figure in panels.items()
            },
        }
        subprocess.run(
            [packages_venv("matplotlib") / "python", Path(__file__).with_name("plot.py"), PLOT],
            input=json.dumps(drawn),
            text=True,
            check=True,
        )


def _simple_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([rule, f"..{lines[0][2:]}", rule, *lines[1:], rule])


WRITTEN = re.compile(
    r"(?<=^\.\. written by scripts/bench compare\n\n).*?(?=^\.\. end of what it wrote$)",
    re.DOTALL | re.MULTILINE,
)


def put(page: Path, text: str) -> None:
    """Put ``text`` in the place of what was written into ``page`` before."""
    page.write_text(WRITTEN.sub(lambda _: f"{text}\n\n", page.read_text()))
