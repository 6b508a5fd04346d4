"""Draw the outcomes, which are on stdin, into a file: run by matplotlib's environment, not ours."""

from __future__ import annotations

import json
import math
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.colors import LogNorm


def main(file: str) -> None:
    drawn = json.load(sys.stdin)
    peers, scenarios, panels = drawn["peers"], drawn["scenarios"], drawn["panels"]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 4.2), sharey=True)
    for axis, (title, rows) in zip(axes, panels.items(), strict=True):
        axis.set_title(title, fontsize=10)
        # Good ones stay white, whatever is not a number too; what never came is as dark as can be.
        top = max((x for row in rows for x in row if math.isfinite(x)), default=1.0)
        norm = LogNorm(1, max(10.0, top))
        axis.imshow(
            [[_shade(x, norm.vmax) for x in row] for row in rows], "Reds", norm, aspect="auto"
        )
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                dark = _shade(value, norm.vmax) > norm.vmax**0.6
                color = "white" if dark else "black"
                axis.text(x, y, _text(value), ha="center", va="center", fontsize=8, color=color)
        axis.set_xticks(range(len(scenarios)), scenarios, rotation=40, ha="right", fontsize=8)
        axis.set_yticks(range(len(peers)), peers, fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=100)


def _shade(value: float, top: float) -> float:
    return 1.0 if math.isnan(value) else min(max(1.0, value), top)


def _text(value: float) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "\N{INFINITY}"
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


main(sys.argv[1])
