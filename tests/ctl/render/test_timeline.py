"""A rollout drawn on a terminal, and what is drawn."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_roll.ctl.render.timeline import (
    LEAST_WIDTH,
    MOST_WIDTH,
    Timeline,
    clock_text,
    coloured,
    laid_out,
    timeline_lines,
)
from supervisor_roll.ctl.render.timeline_svg import page, svg
from supervisor_roll.wire.mailbox import Report

AT = 1_800_000_000.0


def past(**facts: object) -> Report:
    found = {
        "id": 3,
        "by": "ops",
        "verdict": "complete",
        "began": AT,
        "secs": 10.0,
        "replaced": 2,
        "total": 2,
        "strategy": "workers",
        "release_before": "v1",
        "release_after": "v2",
    }
    return Report("1", "web", "past", {**found, **facts}, AT)


def life(pid: int, began: float, **facts: object) -> Report:
    """Its times are in seconds of the rollout."""
    found = {key: AT + one if key.endswith("_at") else one for key, one in facts.items()}
    return Report("1", "web", "worker", {"pid": pid, "began": AT + began, **found}, AT + 10)


BEGAN = Report("1", "web", "began", {"desired": 2, "max_unavailable": 0}, AT)
TOLD = [
    BEGAN,
    life(13, 5, ready_at=8, state="ready", release="v2"),
    life(
        *(11, -100),
        ready_at=-99,
        retiring_at=3,
        gone_at=5,
        outdated=True,
        state="gone",
        release="a-very-long-name-of-a-release",
    ),
    life(12, 0, ready_at=3, state="ready", release="v2"),
    life(10, -100, ready_at=-99, outdated=True, state="ready", release="v1"),
    life(14, 8, gone_at=9, state="failed", release="v2"),
]


def picture(told: list[Report] = TOLD) -> Timeline:
    found = laid_out(past(), told)
    assert found is not None
    return found


def test_it_reads_as_a_bar_for_each_worker_above_how_many_were_ready() -> None:
    assert timeline_lines(picture(), 72, ascii_only=True) == [
        "web: complete, 2/2 workers in 10.0 s, strategy workers, v1 -> v2",
        "2027-01-15 08:00:00, for ops",
        "",
        "- 10      v1                    ========================================",
        "- 11      a-very-long-name-o..  ============~~~~~~~~",
        "+ 12      v2                    ............============================",
        "+ 13      v2                                        ............========",
        "+ 14      v2                                                    xxxx",
        "                                |0 s                |5 s",
        "",
        "                       ready 3                                  ########",
        "                    promised 2  ########################################",
        "",
        "- outdated  + fresh   . booting   = serving   ~ draining   x failed",
    ]


def test_what_is_short_is_seen_all_the_same() -> None:
    told = [
        life(11, -100, ready_at=-99, retiring_at=5, gone_at=5, outdated=True, state="gone"),
        life(12, 5, gone_at=5, state="failed"),
        life(13, 5, ready_at=5, gone_at=5, state="failed"),
    ]
    _, _, _, drained, failed, baked, *_ = timeline_lines(picture(told), 60, ascii_only=True)
    assert drained.count("~") == failed.count("x") == baked.count("x") == 1


def test_one_that_was_stopped_before_it_was_ready_booted_and_no_more() -> None:
    told = [life(12, 1, retiring_at=4, gone_at=6, state="gone")]
    *_, bar = (line for line in timeline_lines(picture(told), 60, True) if line.startswith("+ "))
    assert set(bar[10:]) == {" ", "."}
    assert picture(told).capacity == [(0.0, 0)]


def test_a_dip_is_seen_however_short_it_was() -> None:
    told = [BEGAN]
    told += [life(11, -9, ready_at=-8, retiring_at=5, gone_at=6, outdated=True, state="gone")]
    told += [life(12, 1, ready_at=5.01, state="ready")]
    lines = timeline_lines(picture(told), 60, ascii_only=True)
    [row] = [line for line in lines if line.lstrip().startswith("ready 1")]
    assert " " in row.strip().removeprefix("ready 1  ")
    assert picture(told).least_ready(0.0, 10.0) == 0


def test_who_comes_as_another_leaves_leaves_no_gap() -> None:
    told = [
        life(11, -9, ready_at=-8, retiring_at=5, gone_at=6, outdated=True, state="gone"),
        life(12, 1, ready_at=5, state="ready"),
    ]
    assert picture(told).capacity == [(0.0, 1), (5.0, 1)]


def test_nothing_is_drawn_where_no_worker_is_known() -> None:
    assert laid_out(past(), [BEGAN]) is None


def test_colours_are_of_bars_alone() -> None:
    line = "+ 12  v2  ··██"
    assert coloured(line) == "+ 12  v2  \x1b[33m··\x1b[0m\x1b[32m██\x1b[0m"
    shown = timeline_lines(picture(), 80, ascii_only=False)
    assert all(char in "".join(shown) for char in "·█▒▚▆")


@pytest.mark.parametrize(
    ("at", "text"),
    [(0, "0 s"), (0.5, "0.5 s"), (119, "119 s"), (600, "10:00 min"), (7500, "2:05 h")],
)
def test_the_axis_in_words(at: float, text: str) -> None:
    assert clock_text(at) == text


_AT = st.none() | st.floats(-1e4, 1e4) | st.floats()
_TEXT = st.text(max_size=40)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "pid": st.integers(0, 10**9),
                "began": _AT,
                "ready_at": _AT,
                "retiring_at": _AT,
                "gone_at": _AT,
                "state": st.sampled_from(["failed", "gone", "ready", "booting", "no such"]),
                "outdated": st.booleans(),
                "release": _TEXT,
                "how": _TEXT,
            }
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 1000),
)
def test_whatever_is_told_it_is_drawn_within_its_width(
    rows: list[dict[str, object]], width: int
) -> None:
    told = [Report("1", "web", "worker", one, AT) for one in rows]
    found = laid_out(past(began=0.0), told)
    assert found is not None
    most = max(LEAST_WIDTH, min(width, MOST_WIDTH))
    bars = timeline_lines(found, width, ascii_only=True)[3:-2]
    assert max(map(len, bars)) <= most
    assert svg(found) in page(found, past(), told)
    ElementTree.fromstring(svg(found))


def test_labels_are_as_wide_as_the_widest_of_both_drawings() -> None:
    told = [BEGAN, life(1, -9, ready_at=-8, state="ready"), life(2, -9, ready_at=-8, state="ready")]
    lines = timeline_lines(picture(told), 60, ascii_only=True)
    bars = [line for line in lines if line.endswith("=")]
    assert {len(line.split("=")[0]) for line in bars} == {
        len(line.split("#")[0]) for line in lines if line.endswith("#")
    }


def test_of_many_workers_the_rows_are_between_the_fewest_and_the_most_that_were_ready() -> None:
    told = [Report("1", "web", "began", {"desired": 64, "max_unavailable": 4}, AT)]
    told += [life(pid, -9, ready_at=-8, state="ready") for pid in range(40)]
    told += [life(100 + pid, -9, ready_at=5, state="ready") for pid in range(24)]
    lines = timeline_lines(picture(told), 80, ascii_only=True)
    rows = [line.split("#")[0].split() for line in lines if line.endswith("#")]
    numbers = [int(number) for _, number in rows]
    assert (numbers[0], numbers[-1]) == (64, 40)
    assert ["promised", "60"] in rows
    assert len(rows) <= 10


def test_texts_of_others_are_text_in_a_browser_too() -> None:
    hostile = "\"'><script>alert(1)</script>&\x1b\x00\ud800\ufffe"
    row = {"pid": 7, "release": hostile, "how": hostile, "state": "failed", "began": AT + 1}
    told = [
        Report("1", hostile, "worker", row, AT + 2),
        Report("1", hostile, "note", {"text": hostile}, AT + 3),
    ]
    of = past(by=hostile, why=hostile, release_after=hostile, verdict=hostile, strategy=hostile)
    of = replace(of, program=hostile)
    found = laid_out(of, told)
    assert found is not None
    texts = [svg(found), page(found, of, told)]
    for text in texts:
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert all(char.isprintable() or char == "\n" for char in text)
    names = {one.tag.rpartition("}")[2] for one in ElementTree.fromstring(texts[0]).iter()}
    drawn = {"svg", "title", "desc", "style", "g", "rect", "text", "path"}
    assert names == {*drawn, "defs", "pattern", "circle"}
    assert not re.search(
        r"(?:https?|data):|@import|<(?:link|img|iframe)", texts[1].replace(SVG, "")
    )


SVG = "http://www.w3.org/2000/svg"
