"""rollhistory with its pictures: what is asked for, shown, written and refused."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from supervisor_roll.ctl import arguments
from supervisor_roll.ctl.arguments import RollHistory, Usage
from supervisor_roll.ctl.screen import Screen
from supervisor_roll.ctl.write_file import write_file
from tests.rpc.supervised import Supervised

PAST = ["report", "web", "past", {"id": 7, "verdict": "complete", "total": 1, "replaced": 1}]


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("", RollHistory([])),
        ("web all --last 1000", RollHistory(["web", "all"], last=1000)),
        ("7 --timeline", RollHistory(["7"], timeline=True)),
        ("--svg a.svg 7 --html b", RollHistory(["7"], svg="a.svg", html="b")),
    ],
)
def test_what_may_be_asked_for(text: str, given: RollHistory) -> None:
    assert arguments.rollhistory(text) == given


@pytest.mark.parametrize(
    "text",
    [
        "--timeline",
        "--svg a.svg web",
        "--html a.html 7 8",
        "--timeline --json 7",
        "--last 0",
        "--last 1001 web",
        "--last x",
        "--last 5 7",
    ],
)
def test_what_may_not(text: str) -> None:
    with pytest.raises(Usage):
        arguments.rollhistory(text)


def test_one_is_written_whole_over_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    for text in ("a" * 100, "b"):
        write_file(path, text)
    assert path.read_text() == "b"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert [one.name for one in tmp_path.iterdir()] == ["a.svg"]


@pytest.mark.parametrize("what", ["a link", "a folder", "no folder"])
def test_what_is_there_and_is_no_file_stays(tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "a.svg", tmp_path / "other"
    other.write_text("whole")
    if what == "a link":
        path.symlink_to(other)
    elif what == "a folder":
        path.mkdir()
    else:
        path = path / "b.svg"
    with pytest.raises(OSError):
        write_file(path, "text")
    assert other.read_text() == "whole"
    assert path.is_symlink() == (what == "a link")


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_file(tmp_path / "a.svg", "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_a_rollout_is_drawn_and_written(site: Supervised, tmp_path: Path) -> None:
    life = {"pid": 12, "state": "ready", "began": 1.0, "ready_at": 2.0}
    site.script(PAST, ["report", "web", "worker", life], ["done"])
    svg = tmp_path / "7.svg"
    status, shown = site.ctl("rollhistory", "7", "--timeline", "--svg", str(svg))
    assert (status, shown.splitlines()[0]) == (0, "web: complete, 1/1 workers in 0.0 s")
    assert shown.splitlines()[-1] == f"written to {svg}"
    assert svg.read_text().startswith("<svg ")

    site.script(PAST, ["report", "web", "worker", life], ["done"])
    assert site.ctl("rollhistory", "7", "--html", str(tmp_path)) == (
        1,
        f"error: {tmp_path} cannot be written: there is something that is no file\n",
    )
    site.script(PAST, ["done"])
    assert site.ctl("rollhistory", "7", "--timeline") == (
        1,
        "nothing is known of that rollout's workers\n",
    )


def test_so_many_are_asked_for(site: Supervised) -> None:
    site.script(PAST, ["done"])
    assert site.ctl("rollhistory", "--last", "7", "web")[0] == 0
    [request] = site.requests
    assert (request["programs"], request["last"]) == (["web"], 7)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_terminal_has_colours_unless_they_are_unwanted(
    monkeypatch: pytest.MonkeyPatch, no_colour: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "77")
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    terminal, widths = Terminal(), []

    def picture(width: int, ascii_only: bool) -> list[str]:
        widths.append((width, ascii_only))
        return ["a\x1b[2J ██"]

    Screen(terminal).draw(picture)
    assert widths == [(77, False)]
    bars = "██" if no_colour else "\x1b[32m██\x1b[0m"
    assert terminal.getvalue() == f"a?[2J {bars}\n"


def test_a_picture_with_a_name_that_the_output_cannot_show_is_drawn_all_the_same() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Screen(out).draw(lambda width, ascii_only: [f"caf\u00e9 {ascii_only}"])
    assert out.buffer.getvalue() == b"caf\\xe9 True\n"
