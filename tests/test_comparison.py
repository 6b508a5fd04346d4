"""What scripts/bench compare measured is shown where the documentation has a place for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from docutils.core import publish_doctree

BENCH = Path(__file__).parents[1] / "scripts" / "_bench"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(BENCH)
    import compare.report

    yield compare.report
    for name in [one for one in sys.modules if one.partition(".")[0] == "compare"]:
        del sys.modules[name]


def test_it_is_put_in_the_place_of_what_was_there(report, tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    page.write_text(
        "Before\n\n.. written by scripts/bench compare\n\nold\n\nolder\n\n"
        ".. end of what it wrote\n\nAfter\n"
    )
    for _ in range(2):
        report.put(page, "new\\1")
        assert page.read_text() == (
            "Before\n\n.. written by scripts/bench compare\n\nnew\\1\n\n"
            ".. end of what it wrote\n\nAfter\n"
        )


def test_each_page_has_one_place_and_the_overview_what_the_tables_have(report) -> None:
    for page in (report.README, report.PAGE):
        assert len(report.WRITTEN.findall(page.read_text())) == 1
    from compare.peers import PEERS
    from compare.scenarios import SCENARIOS

    names = {one.name for one in SCENARIOS}
    assert {scenario for scenario, _ in report.OVERVIEW.values()} <= names
    assert {figure for _, figure in report.OVERVIEW.values()} <= report.FIGURES.keys()
    outcome = report.Outcome(100, 2, float("inf"), 0, 5, 3.0, float("inf"), "nothing", {})
    results = {(PEERS[0].title, one.name): outcome for one in SCENARIOS}
    tables = report.Report(PEERS, SCENARIOS, results, ["Gunicorn 1"], {})
    for text in (tables.text(), tables.overview()):
        rendered = publish_doctree(text, settings_overrides={"halt_level": 2}).astext()
        assert "2 of 100" in rendered
