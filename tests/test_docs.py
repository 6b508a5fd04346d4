"""The documentation renders, and tells of every setting, command, option, hook and message."""

from __future__ import annotations

import configparser
import dataclasses
import re
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from docutils.utils import Reporter

from supervisor_roll.ctl import help as texts
from supervisor_roll.ctl.plugin import RollPlugin
from supervisor_roll.hooks import _HOOKS
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.settings import _RULES, Health, Settings
from supervisor_roll.wire.datagram import KINDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.rst"
PAGES = [README, ROOT / "CHANGELOG.rst", *sorted((ROOT / "docs").glob("*.rst"))]
COMMANDS = sorted(
    name.removeprefix("do_") for name in dir(RollPlugin) if name.startswith("do_roll")
)


def rendered(page: Path) -> nodes.document:
    return publish_doctree(
        page.read_text(),
        source_path=str(page),
        settings_overrides={
            "report_level": Reporter.INFO_LEVEL,
            "halt_level": Reporter.SEVERE_LEVEL + 1,
            "warning_stream": False,
            "file_insertion_enabled": False,
            "raw_enabled": False,
        },
    )


def table_under(title: str, page: Path = README, number: int = 0) -> dict[str, list[str]]:
    """The rows of a table of the page's section, by their first cells."""
    section = next(one for one in rendered(page).findall(nodes.section) if one[0].astext() == title)
    rows = list(section.findall(nodes.tbody))[number].findall(nodes.row)
    cells = [[cell.astext() for cell in row.findall(nodes.entry)] for row in rows]
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_renders_without_a_word_of_docutils(page: Path) -> None:
    assert [one.astext() for one in rendered(page).findall(nodes.system_message)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = [one["refuri"] for one in rendered(page).findall(nodes.reference) if "refuri" in one]
    relative = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in relative if not (page.parent / link).exists()] == []


def test_the_first_screen_tells_of_commands_that_exist() -> None:
    named = re.findall(r"^``(scripts/\w+)``$", README.read_text(), re.MULTILINE)
    assert named == ["scripts/demo", "scripts/test", "scripts/faults"]
    assert all((ROOT / script).is_file() for script in named)


def test_the_table_of_settings_has_every_key_with_its_default() -> None:
    table = table_under("Settings")
    assert table.keys() == _RULES.keys()
    # A default reads as what one would write; one that has no such form is "(none)" or "(empty)".
    written = {key: cells[0] for key, cells in table.items() if not cells[0].startswith("(")}
    of_health = {key: value for key, value in written.items() if key.startswith("health_")}
    others = written.keys() - of_health.keys()
    assert Settings.parsed({key: written[key] for key in others}) == Settings()
    assert Settings.parsed({"health": "/", **of_health}) == Settings(health=Health("/"))
    values = vars(Settings()) | vars(Health(""))
    assert table.keys() - written.keys() == {
        key for key, rule in _RULES.items() if values[rule.attribute] in (None, "", ())
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_and_help_tell_of_every_command(command: str) -> None:
    assert any(cell.split()[0] == command for cell in table_under("Commands"))
    assert getattr(texts, command.upper()).startswith(command)


def test_readme_tells_of_every_option_of_rollrestart() -> None:
    options = set(re.findall(r"--[a-z-]+", texts.ROLLRESTART))
    assert options
    assert options - set(re.findall(r"--[a-z-]+", README.read_text())) == set()


def test_the_hooks_to_import_one_by_one_are_all_of_them() -> None:
    block = re.search(r"from supervisor_roll\.hooks import \(([^)]*)\)", README.read_text())
    assert block is not None
    assert sorted(block[1].replace(",", " ").split()) == sorted(_HOOKS)


def test_the_protocol_tells_of_every_kind_of_message() -> None:
    text = (ROOT / "docs" / "protocol.rst").read_text()
    assert [kind for kind in sorted(KINDS) if f"\n{kind} " not in text] == []


def test_the_protocol_tells_of_every_kind_of_report_and_its_facts() -> None:
    shapes: dict[str, type] = {
        **reports.KINDS,
        "plan.memory": reports.Memory,
        "plan.processes": reports.Processes,
        "plan.preflight": reports.Preflight,
    }
    told = table_under("RPC methods", ROOT / "docs" / "protocol.rst")
    assert {kind: [" ".join(cell.split()) for cell in cells] for kind, cells in told.items()} == {
        kind: [
            ", ".join(field.name for field in dataclasses.fields(shape)),
            str(shape.__doc__).split("\n")[0].replace("``", ""),
        ]
        for kind, shape in shapes.items()
    }


def test_the_package_shows_the_readme() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    assert metadata["metadata"]["long_description"] == "file: README.rst"
    assert metadata["metadata"]["long_description_content_type"] == "text/x-rst"
