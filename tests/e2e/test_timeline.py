"""A rollout as a picture, looked at in a real browser: each bar is where the worker's life was."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.browser import OPTIONS
from tests.harness import MakeSite, Program, Site
from tests.harness.debian_packages import CHROMIUM, install
from tests.harness.png import Png


class Bar(NamedTuple):
    """One stretch of a worker's life, as the browser has laid it out."""

    kind: str
    x: float
    y: float
    width: float
    height: float


# Put into a copy of the picture: where each bar is, as the browser has laid it out.
MEASURE = """<pre id="found"></pre><script>
const found = [...document.querySelectorAll("g.worker")].map(one => [one.closest("section").id,
  one.dataset.pid,
  one.querySelector("title").textContent, [...one.querySelectorAll("rect")].map(bar => {
    const {x, y, width, height} = bar.getBoundingClientRect();
    return [bar.getAttribute("class"), x, y, width, height];
  })]);
document.getElementById("found").textContent = JSON.stringify(found);
</script>"""


@pytest.fixture(scope="module", autouse=True)
def _chromium() -> None:
    if why := install(CHROMIUM):
        pytest.skip(why)


def browse(folder: Path, *arguments: str) -> str:
    """What a headless Chromium with a fresh profile prints."""
    command = [str(shutil.which("chromium")), *OPTIONS, f"--user-data-dir={folder}/profile"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def measured(folder: Path, *pictures: str) -> dict[str, tuple[str, list[Bar]]]:
    """By picture and pid: what is said to who points at the bar, and each of its stretches."""
    page, found = folder / "measured.html", dict[str, tuple[str, list[Bar]]]()
    body = "".join(f'<section id="{number}">{one}</section>' for number, one in enumerate(pictures))
    page.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin:0">{body}{MEASURE}')
    [text] = re.findall('<pre id="found">(.*)</pre>', browse(folder, "--dump-dom", page.as_uri()))
    for number, pid, title, bars in json.loads(text):
        found[f"{number} {pid}"] = title, [Bar(*one) for one in bars]
    return found


def shot(folder: Path, page: Path, *options: str) -> Png:
    picture = folder / "shot.png"
    taken = f"--screenshot={picture}"
    browse(folder, "--window-size=1040,420", "--hide-scrollbars", taken, *options, page.as_uri())
    return Png(picture)


def facts(site: Site, number: str) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """A rollout's own, and those of each of its workers."""
    lines = site.ctl("rollhistory", "--json", number).output.splitlines()
    found = [json.loads(line) for line in lines]
    lives = {one["facts"]["pid"]: one["facts"] for one in found if one["kind"] == "worker"}
    return found[0]["facts"], lives


def test_a_rollout_on_a_terminal_and_in_a_browser(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(Program(workers=2, boot_secs=0.5))
    old = site.workers("web").ready
    site.deploy("<b>&v2")
    site.roll("web")
    site.deploy("bad", boot="raise")
    site.roll("web", status=1)
    svg, html = tmp_path / "1.svg", tmp_path / "2.html"
    status, shown = site.ctl("rollhistory", "1", "--timeline", "--svg", str(svg))
    assert (status, shown.splitlines()[-1]) == (0, f"written to {svg}")
    assert site.ctl("rollhistory", "2", "--html", str(html)) == (0, f"written to {html}\n")

    drawn = [line for line in shown.splitlines() if line[:2] in ("- ", "+ ")][:-1]
    assert {int(line.split()[1]) for line in drawn if line[0] == "-"} == old
    assert all("\N{FULL BLOCK}" in line for line in drawn)
    drains = ["\N{MEDIUM SHADE}" in line for line in drawn]
    assert drains == [line[0] == "-" for line in drawn] == [True, True, False, False]
    assert "promised 2 " in shown

    [figure] = re.findall("<figure>(.*)</figure>", html.read_text(), re.DOTALL)
    found = measured(tmp_path, svg.read_text(), figure)
    past, lives = facts(site, "1")
    assert {one for one in found if one[0] == "0"} == {f"0 {pid}" for pid in lives}
    turns = {pid: one["retiring_at" if pid in old else "ready_at"] for pid, one in lives.items()}
    first = {pid: found[f"0 {pid}"][1][0] for pid in lives}
    left, last = min(one.x for one in first.values()), max(turns, key=lambda pid: turns[pid])
    for pid, turn in turns.items():
        title, bars = found[f"0 {pid}"]
        kinds = ["ready", "draining"] if pid in old else ["booting", "ready"]
        assert [one.kind for one in bars] == kinds
        assert title.startswith(f"{'outdated' if pid in old else 'fresh'} {pid}: ")
        # It is as far to the right as it was late.
        share = (turn - past["began"]) / (turns[last] - past["began"])
        width = first[last].x + first[last].width - left
        assert (bars[1].x - left) / width == pytest.approx(share, abs=0.03)
        assert bars[0].x + bars[0].width == pytest.approx(bars[1].x, abs=2)
    assert len({one.y for one in first.values()}) == 4, "a row each"

    light = shot(tmp_path, svg)
    assert light.at(2, 2) == (0xFF, 0xFF, 0xFF)
    for pid in old:
        bar = first[pid]
        assert light.at(bar.x + bar.width / 2, bar.y + bar.height / 2) == (0x1A, 0x7F, 0x37)

    _, lives = facts(site, "2")
    [bad] = [pid for pid, one in lives.items() if one["state"] == "failed"]
    title, bars = found[f"1 {bad}"]
    assert [one.kind for one in bars] == ["failed"]
    assert title.endswith("; failed (ImportError: release bad lacks a module)")
    assert "<h1>Rollout 2 of web</h1>" in html.read_text()
    dark = shot(tmp_path, html, "--force-dark-mode")
    middle = {dark.at(500, y) for y in range(dark.height)}
    assert {(0x3F, 0xB9, 0x50), (0x0D, 0x11, 0x17)} <= middle, "those that serve, on the paper"
