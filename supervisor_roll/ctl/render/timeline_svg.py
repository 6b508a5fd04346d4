"""A rollout as a picture for a browser: an SVG, or a page with it and all that was told. Pure.

What programs, releases and reasons are called is others' text: each goes through ``_text``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from supervisor_roll.ctl.render.history import one_rollout
from supervisor_roll.ctl.render.past import asked_by
from supervisor_roll.ctl.render.text import clean, moment, secs
from supervisor_roll.ctl.render.timeline import NAMES, Bar, Stretch, Timeline, clock_text, title_of
from supervisor_roll.rollout.words import BOOTING, DRAINING, FAILED, READY
from supervisor_roll.wire.mailbox import Report

WIDTH, LEFT, RIGHT = 1000, 235, 20  # LEFT: of the bars
TOP, ROW, BAR = 64, 22, 14
GRAPH = 110
_PLOT = WIDTH - LEFT - RIGHT
_MOST_LABEL = 28

# Each stretch has a pattern beside its colour, for who cannot tell the colours apart.
STYLE = """
.roll { --ink: #1b1f24; --paper: #ffffff; --faint: #6a737d; --line: #d0d7de;
  --booting: #bf8700; --ready: #1a7f37; --draining: #0969da; --failed: #cf222e;
  background: var(--paper); font: 13px system-ui, sans-serif; }
.roll text { fill: var(--ink); } .roll .faint { fill: var(--faint); }
.roll .title { font-size: 16px; font-weight: 600; }
.roll .line { stroke: var(--line); fill: none; }
.roll .promised { stroke: var(--failed); stroke-dasharray: 5 4; fill: none; }
.roll .capacity { fill: var(--ready); fill-opacity: .25; stroke: var(--ready); }
.roll .booting { fill: url(#booting); stroke: var(--booting); }
.roll .ready { fill: var(--ready); stroke: var(--ready); }
.roll .draining { fill: url(#draining); stroke: var(--draining); }
.roll .failed { fill: url(#failed); stroke: var(--failed); }
.roll .of-booting { stroke: var(--booting); } .roll .of-failed { stroke: var(--failed); }
.roll .of-draining { fill: var(--draining); }
@media (prefers-color-scheme: dark) { .roll { --ink: #e6edf3; --paper: #0d1117; --faint: #8d96a0;
  --line: #30363d; --booting: #d29922; --ready: #3fb950; --draining: #58a6ff; --failed: #f85149; } }
"""
_PATTERNS = """<defs>
<pattern id="booting" width="6" height="6" patternUnits="userSpaceOnUse">\
<path d="M0 6L6 0" class="of-booting" stroke-width="1.5"/></pattern>
<pattern id="draining" width="5" height="5" patternUnits="userSpaceOnUse">\
<circle cx="2.5" cy="2.5" r="1.3" class="of-draining"/></pattern>
<pattern id="failed" width="6" height="6" patternUnits="userSpaceOnUse">\
<path d="M0 6L6 0M0 0L6 6" class="of-failed" stroke-width="1.5"/></pattern>
</defs>"""


def svg(picture: Timeline) -> str:
    """Return the picture as one SVG element, which stands alone as a file too."""
    bars, graph = TOP + ROW * len(picture.bars), TOP + ROW * len(picture.bars) + 40
    height = graph + GRAPH + 60
    title = _text(title_of(picture))
    told = f"{moment(picture.began)}, for {asked_by(picture.past)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="roll" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" aria-labelledby="t d">',
        f'<title id="t">{title}</title>',
        f'<desc id="d">{_text(_described(picture))}</desc>',
        f"<style>{STYLE}</style>",
        _PATTERNS,
        f'<rect width="{WIDTH}" height="{height}" style="fill: var(--paper)"/>',
        f'<text x="16" y="26" class="title">{title}</text>',
        f'<text x="16" y="46" class="faint">{_text(told)}</text>',
        *_axis(picture, TOP, graph + GRAPH),
        *(line for row, bar in enumerate(picture.bars) for line in _bar(picture, bar, row)),
        *_capacity(picture, bars, graph),
        *_legend(height - 14),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def page(picture: Timeline, past: Report, told: Sequence[Report], whole: bool = False) -> str:
    """Return a page of one file: the picture, and below it what ``rollhistory`` says of it.

    ``whole``: with all frames of tracebacks.
    """
    lines = "\n".join(map(_text, one_rollout(past, told, whole)))
    title = _text(title_of(picture))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 1rem; font: 14px system-ui, sans-serif; }}
figure {{ margin: 0 0 1rem; overflow-x: auto; }}
pre {{ overflow-x: auto; }}
</style>
</head>
<body>
<main>
<h1>Rollout {picture.past.id} of {_text(picture.program)}</h1>
<figure>
{svg(picture)}</figure>
<h2>What was told</h2>
<pre>
{lines}
</pre>
</main>
</body>
</html>
"""


def _axis(picture: Timeline, top: float, bottom: float) -> Iterable[str]:
    for tick in picture.ticks(10):
        x = _x(picture, tick)
        yield f'<path d="M{x} {top - 4}V{bottom}" class="line"/>'
        text = _text(clock_text(tick))
        yield f'<text x="{x}" y="{bottom + 16}" text-anchor="middle" class="faint">{text}</text>'


def _bar(picture: Timeline, bar: Bar, row: int) -> Iterable[str]:
    life, y = bar.life, TOP + ROW * row
    name = f"{'outdated' if life.outdated else 'fresh'} {life.pid}"
    label = f"{life.pid} {life.release}"
    label = label if len(label) <= _MOST_LABEL else f"{label[: _MOST_LABEL - 2]}.."
    lasted = ", ".join(f"{NAMES[one.kind]} {secs(one.until - one.since)}" for one in bar.stretches)
    how = f" ({life.how})" if life.how else ""
    yield f'<g data-pid="{life.pid}" class="worker">'
    yield f"<title>{_text(f'{name}: {lasted}; {life.state}{how}')}</title>"
    sign = "-" if life.outdated else "+"
    yield f'<text x="16" y="{y + BAR - 2}">{sign} {_text(label)}</text>'
    yield from (_stretch(picture, one, y) for one in bar.stretches)
    yield "</g>"


def _stretch(picture: Timeline, one: Stretch, y: float) -> str:
    x = _x(picture, one.since)
    width = max(2.0, round(_x(picture, one.until) - x, 1))
    return f'<rect class="{one.kind}" x="{x}" y="{y}" width="{width}" height="{BAR}"/>'


def _capacity(picture: Timeline, above: float, top: float) -> Iterable[str]:
    """How many were ready, as steps; and the number that was promised, as a line."""
    most = max(picture.most_ready, picture.promised, 1)

    def y_of(ready: int) -> float:
        return round(top + GRAPH - ready / most * GRAPH, 1)

    steps = "".join(f"H{_x(picture, at)}V{y_of(ready)}" for at, ready in picture.capacity)
    yield f'<text x="16" y="{above + 30}">ready workers</text>'
    bottom = top + GRAPH
    yield f'<path class="capacity" d="M{LEFT} {bottom}{steps}H{WIDTH - RIGHT}V{bottom}Z"/>'
    # Two labels that would lie on each other are one: what was promised.
    far = y_of(picture.promised) - y_of(most) > 14
    for number in sorted({0, picture.promised, most if far else picture.promised}):
        name = f"promised {number}" if number == picture.promised and number else str(number)
        y = y_of(number)
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" class="faint">{name}</text>'
    if picture.promised:
        y = y_of(picture.promised)
        yield f'<path class="promised" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'


def _legend(y: float) -> Iterable[str]:
    for number, kind in enumerate((BOOTING, READY, DRAINING, FAILED)):
        x = LEFT + 120 * number
        yield f'<rect class="{kind}" x="{x}" y="{y - 11}" width="24" height="12"/>'
        yield f'<text x="{x + 30}" y="{y}">{NAMES[kind]}</text>'
    yield f'<text x="{LEFT + 490}" y="{y}" class="faint">- outdated, + fresh</text>'


def _described(picture: Timeline) -> str:
    """Say for who does not see it what the picture shows."""
    least = min((ready for _, ready in picture.capacity), default=0)
    promised = f", promised were {picture.promised}" if picture.promised else ""
    return (
        f"A bar for each of {len(picture.bars)} workers over {secs(picture.secs)}: when it booted,"
        f" served and drained. Between {least} and {picture.most_ready} were ready{promised}."
    )


def _x(picture: Timeline, at: float) -> float:
    return round(LEFT + at / picture.secs * _PLOT, 1)


def _text(text: str) -> str:
    """Return others' text as HTML and XML may have it."""
    return escape(clean(text))
