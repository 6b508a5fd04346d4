"""A rollout as a picture: a bar for each worker, and below them how many were ready. Pure.

``laid_out`` says what is drawn, for a terminal here and for a browser in ``timeline_svg``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from supervisor_roll.ctl.render.past import asked_by, past_of, release, replaced
from supervisor_roll.ctl.render.text import clean, moment, secs
from supervisor_roll.rollout.reports import Began, Past, WorkerLife
from supervisor_roll.rollout.words import BOOTING, DRAINING, FAILED, READY
from supervisor_roll.wire.mailbox import Report

# How each stretch of a life is drawn on a terminal, and where that has ASCII only.
_CHARS = {BOOTING: "·", READY: "█", DRAINING: "▒", FAILED: "▚"}
_ASCII = {BOOTING: ".", READY: "=", DRAINING: "~", FAILED: "x"}
_COLOURS = {"·": 33, "█": 32, "▒": 36, "▚": 31, "▆": 34}  # as SGR has them
NAMES = {BOOTING: "booting", READY: "serving", DRAINING: "draining", FAILED: "failed"}
_GRAPH, _GRAPH_ASCII = "▆", "#"
_RUNS = re.compile("|".join(f"{char}+" for char in _COLOURS))
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_RELEASE, _MOST_ROWS = 20, 8
LEAST_WIDTH, MOST_WIDTH = 50, 300


@dataclass(frozen=True)
class Stretch:
    """One part of a worker's life, in seconds of the picture; ``kind`` as a worker's state."""

    kind: str
    since: float
    until: float


@dataclass(frozen=True)
class Bar:
    """One worker's life, as far as the rollout has seen it."""

    life: WorkerLife
    stretches: list[Stretch]


@dataclass(frozen=True)
class Timeline:
    """``capacity`` has from when on how many were ready; so many were ``promised`` (0: not known).

    ``began`` is in seconds since the epoch, all else in seconds since then.
    """

    program: str
    past: Past
    began: float
    secs: float
    bars: list[Bar]
    capacity: list[tuple[float, int]]
    promised: int = 0

    @property
    def most_ready(self) -> int:
        return max((ready for _, ready in self.capacity), default=0)

    def least_ready(self, since: float, until: float) -> int:
        """Return the fewest that were ready at once between two moments."""
        before = [ready for at, ready in self.capacity if at <= since]
        within = [ready for at, ready in self.capacity if since < at < until]
        return min([*before[-1:], *within], default=0)

    def ticks(self, most: int) -> list[float]:
        """Where the axis of time has a mark: at round seconds, of which there are not too many."""
        step = next((one for one in _STEPS if self.secs / one <= most), self.secs / max(most, 1))
        return [number * step for number in range(int(self.secs / step) + 1)]


def laid_out(past: Report, told: Sequence[Report]) -> Timeline | None:
    """Lay out a rollout of the history; None if nothing is known of its workers."""
    lives = [one for report in told if isinstance(one := report.content, WorkerLife)]
    if not lives:
        return None
    facts = past_of(past)
    began = facts.began
    ends = [report.at for report in told] + [one.gone_at or 0.0 for one in lives]
    lasted = max(max(ends) - began, 0.1)
    lives.sort(key=lambda one: (one.began, one.pid))
    bars = [Bar(one, list(_stretches(one, began, lasted))) for one in lives]
    first = next((one for report in told if isinstance(one := report.content, Began)), None)
    promised = first.desired - first.max_unavailable if first else 0
    return Timeline(past.program, facts, began, lasted, bars, _capacity(bars, lasted), promised)


def _stretches(life: WorkerLife, began: float, secs: float) -> Iterator[Stretch]:
    """Yield a life's parts, as far as they are in the picture."""
    end = began + secs if life.gone_at is None else life.gone_at
    left = end if life.retiring_at is None else life.retiring_at
    failed = life.state == FAILED
    if life.ready_at is None:
        parts = [(FAILED if failed else BOOTING, life.began, end)]
    else:
        ready = min(life.ready_at, left)
        parts = [(BOOTING, life.began, ready), (READY, ready, left)]
        if failed or life.retiring_at is not None:
            parts.append((FAILED if failed else DRAINING, left, end))
    for kind, since, until in parts:
        since, until = max(0.0, since - began), min(secs, until - began)
        if since <= until:
            yield Stretch(kind, since, until)


def _capacity(bars: Sequence[Bar], secs: float) -> list[tuple[float, int]]:
    """From when on how many are ready: one that becomes so counts before one that leaves."""
    ready = [one for bar in bars for one in bar.stretches if one.kind == READY]
    changes = [(one.since, 0, 1) for one in ready]
    changes += [(one.until, 1, -1) for one in ready if one.until < secs]
    found, number = {0.0: 0}, 0
    for at, _, more in sorted(changes):
        number += more
        found[at] = number
    return list(found.items())


# --- on a terminal ------------------------------------------------------------------------------


def timeline_lines(picture: Timeline, width: int, ascii_only: bool) -> list[str]:
    """Draw it in lines of ``width`` columns."""
    chars = _ASCII if ascii_only else _CHARS
    labels = [_label(bar.life) for bar in picture.bars]
    aside = max(len(f"promised {picture.most_ready}"), *map(len, labels))
    columns = max(LEAST_WIDTH, min(width, MOST_WIDTH)) - aside - 2
    cell = picture.secs / columns
    lines = [title_of(picture), f"{moment(picture.began)}, for {asked_by(picture.past)}", ""]
    for label, bar in zip(labels, picture.bars, strict=True):
        lines.append(f"{label:{aside}}  {_drawn(bar, columns, cell, chars)}")
    lines += [f"{'':{aside}}  {_axis(picture, columns)}", ""]
    graph = _GRAPH_ASCII if ascii_only else _GRAPH
    ready = [picture.least_ready(at * cell, (at + 1) * cell) for at in range(columns)]
    for level in _levels(ready, picture.promised):
        row = "".join(graph if one >= level else " " for one in ready)
        name = f"ready {level}" if level != picture.promised else f"promised {level}"
        lines.append(f"{name:>{aside}}  {row}")
    legend = "   ".join(f"{char} {NAMES[kind]}" for kind, char in chars.items())
    lines += ["", f"- outdated  + fresh   {legend}"]
    return [clean(line.rstrip()) for line in lines]


def coloured(line: str) -> str:
    """Return a line of these with the bars in colours, for a terminal."""
    return _RUNS.sub(lambda run: f"\x1b[{_COLOURS[run[0][0]]}m{run[0]}\x1b[0m", line)


def title_of(picture: Timeline) -> str:
    """Say in one line what was rolled, and how that went."""
    past = picture.past
    words = [
        past.verdict,
        f"{replaced(past)} workers in {secs(past.secs)}",
        past.strategy and f"strategy {past.strategy}",
        release(past),
    ]
    return f"{picture.program}: {', '.join(filter(None, words))}"


def _label(life: WorkerLife) -> str:
    release = clean(life.release)
    if len(release) > _MOST_RELEASE:
        release = f"{release[: _MOST_RELEASE - 2]}.."
    return f"{'-' if life.outdated else '+'} {life.pid:<7} {release}".rstrip()


def _drawn(bar: Bar, columns: int, cell: float, chars: dict[str, str]) -> str:
    """Return a bar's characters: each stretch has one at least."""
    row = [" "] * columns
    for one in sorted(bar.stretches, key=lambda one: one.kind == FAILED):
        first = min(columns - 1, int(one.since / cell))
        last = min(columns, max(first + 1, round(one.until / cell)))
        row[first:last] = chars[one.kind] * (last - first)
    return "".join(row)


def clock_text(at: float) -> str:
    """Say when after the beginning: ``0.5 s``, ``90 s``, ``12:30 min``, ``2:05 h``."""
    if at < 120:
        return f"{at:g} s"
    minutes, seconds = divmod(round(at), 60)
    return f"{minutes}:{seconds:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def _axis(picture: Timeline, columns: int) -> str:
    row = [" "] * (columns + 8)
    for tick in picture.ticks(columns // 12):
        at = round(tick / picture.secs * columns)
        text = f"|{clock_text(tick)}"
        if at + len(text) <= columns:
            row[at : at + len(text)] = text
    return "".join(row).rstrip()


def _levels(ready: Sequence[int], promised: int) -> list[int]:
    """Return the numbers of ready workers that have a row, the highest first.

    So many as there always were have one row: what lies below that tells nothing.
    """
    least, most = max(1, min(ready)), max(*ready, promised)
    step = max(1, ceil((most - least) / _MOST_ROWS))
    return sorted({*range(most, least - 1, -step), least, promised} - {0}, reverse=True)
