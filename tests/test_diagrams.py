"""The diagrams of the docs show the tables that the code goes by."""

from __future__ import annotations

import importlib.util
from enum import Enum
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "_diagrams.py"
spec = importlib.util.spec_from_file_location("_diagrams", SCRIPT)
assert spec is not None and spec.loader is not None
diagrams = importlib.util.module_from_spec(spec)
spec.loader.exec_module(diagrams)


class Cause(Enum):
    GO = "go"
    LEAVE = "leave"
    BACK = "back"


TABLE = {
    "one": {Cause.GO: "two", Cause.LEAVE: "three"},
    "two": {Cause.BACK: "one", Cause.GO: "three", Cause.LEAVE: "three"},
    "three": {},
}
DRAWN = """\
    one         two        three
      |-----go--->|           |
      |---------leave-------->|
      |<---back---|           |
      |           |-go, leave>|"""


def test_each_state_is_a_column_and_what_leads_from_one_to_another_an_arrow() -> None:
    assert diagrams.drawn(TABLE) == DRAWN.split("\n")


def test_a_diagram_is_put_in_the_place_of_the_last_one(monkeypatch) -> None:
    monkeypatch.setattr(diagrams, "TABLES", {"it": TABLE})
    page = "Before\n\n.. diagram: it, drawn by scripts/diagrams\n\n::\n\n    x\n\n    y\n\nAfter\n"
    once = diagrams.updated(page)
    drawn = "\n".join(f"    {line}" for line in DRAWN.split("\n"))
    assert once == page.replace("    x\n\n    y", drawn)
    assert diagrams.updated(once) == once


def test_the_page_shows_every_table_as_it_is() -> None:
    page = diagrams.PAGE.read_text()
    assert diagrams.updated(page) == page, "run scripts/diagrams"
    for name in diagrams.TABLES:
        assert f".. diagram: {name}, drawn by scripts/diagrams\n" in page
