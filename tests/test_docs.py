"""The documentation renders, and has every setting, command, option, hook and message."""

from __future__ import annotations

import configparser
import dataclasses
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from docutils.utils import Reporter

from supervisor_roll.ctl import arguments
from supervisor_roll.ctl import help as texts
from supervisor_roll.ctl.plugin import RollPlugin
from supervisor_roll.ctl.render import objects
from supervisor_roll.hooks import _HOOKS
from supervisor_roll.listener.configuration.sections import Configuration
from supervisor_roll.rollout import reports
from supervisor_roll.rollout.setting_help import PARALLEL, SETTINGS, default_of
from supervisor_roll.rollout.settings import _RULES, Health, Settings
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire import messages
from tests import doc_blocks

ROOT = Path(__file__).parents[1]
README = ROOT / "README.rst"
INSTALL = ROOT / "docs" / "install.rst"
REFERENCE = ROOT / "docs" / "reference.rst"
EXAMPLE = ROOT / "conf.d" / "gunicorn-example.conf"
PROTOCOL = ROOT / "docs" / "protocol.rst"
PAGES = [*doc_blocks.PAGES, ROOT / "CHANGELOG.rst"]
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


def table_under(title: str, page: Path, number: int = 0) -> dict[str, list[str]]:
    """The rows of a table of the page's section, by their first cells."""
    section = next(one for one in rendered(page).findall(nodes.section) if one[0].astext() == title)
    rows = list(section.findall(nodes.tbody))[number].findall(nodes.row)
    cells = [[cell.astext() for cell in row.findall(nodes.entry)] for row in rows]
    return {first: rest for first, *rest in cells}


def listed_under(title: str) -> dict[str, str]:
    """The terms of the definition lists of a section of the reference, and what is said of each."""
    section = next(
        one for one in rendered(REFERENCE).findall(nodes.section) if one[0].astext() == title
    )
    items = section.findall(nodes.definition_list_item)
    return {item[0].astext(): " ".join(item[-1].astext().split()) for item in items}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_renders_without_a_word_of_docutils(page: Path) -> None:
    assert [one.astext() for one in rendered(page).findall(nodes.system_message)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = [one["refuri"] for one in rendered(page).findall(nodes.reference) if "refuri" in one]
    relative = [link.partition("#") for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link, _, _ in relative if not (page.parent / link).exists()] == []
    for link, _, section in relative:
        assert not section or section in rendered(page.parent / link).ids


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_it_names_exist(page: Path) -> None:
    named = set(
        re.findall(r"(?<![\w./-])([a-z]\w*/[\w/]+\.(?:py|rst|conf))(?!\w)", page.read_text())
    )
    beside = (ROOT, ROOT / "supervisor_roll", page.parent)
    assert [one for one in sorted(named) if not any((at / one).exists() for at in beside)] == []


def test_readme_is_short_and_names_scripts_that_exist() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 200
    named = set(re.findall(r"``(scripts/\w+)", text))
    assert {"scripts/demo", "scripts/test", "scripts/faults"} <= named
    assert all((ROOT / script).is_file() for script in named)


def test_every_setting_has_a_text_and_its_default_is_what_is_in_effect_without_it() -> None:
    assert SETTINGS.keys() == _RULES.keys()
    defaults = {key: default_of(key) for key in SETTINGS}
    of_health = {key: value for key, value in defaults.items() if key.startswith("health_")}
    others = {key: value for key, value in defaults.items() if key not in of_health}
    assert Settings.parsed(others) == Settings()
    assert Settings.parsed({"health": "/", **of_health}) == Settings(health=Health("/"))


def test_the_reference_has_every_setting_with_its_form_default_and_text() -> None:
    assert listed_under("Settings") == {
        f"{key}={one.form} ({default_of(key) or 'empty'})": one.text
        for key, one in SETTINGS.items()
    }


def test_the_example_has_every_setting_with_its_default_and_text() -> None:
    lines = []
    for key, one in SETTINGS.items():
        lines += [f"; {line}" for line in textwrap.wrap(one.text, 98)]
        lines.append(f";{key}={default_of(key)}")
    assert EXAMPLE.read_text().partition("[roll:myapp]\n")[2].splitlines() == lines


def test_the_settings_in_readme_are_valid() -> None:
    ini = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";", "#"))
    ini.read_string(doc_blocks.block("README", "[roll:myapp]"))
    Settings.parsed(ini["roll:myapp"])
    assert len(ini["roll:myapp"]) == 7


def test_the_reference_has_every_command_as_its_help_shows_it() -> None:
    assert sorted(texts.USAGES) == COMMANDS
    assert set(listed_under("Commands")) == set(texts.USAGES.values())
    for command, usage in texts.USAGES.items():
        assert usage in arguments.parser(command).format_help()


def test_the_reference_has_every_option_of_rollrestart() -> None:
    parser = arguments.parser(texts.ROLLRESTART)
    options = {option for action in parser._actions for option in action.option_strings}
    named = ", ".join(listed_under("Options of rollrestart")).split(", ")
    assert sorted(named) == sorted(options - {"-h", "--help"})


def test_the_options_of_rollupdate_are_some_of_rollrestarts() -> None:
    parser = arguments.parser(texts.ROLLUPDATE)
    options = {option for action in parser._actions for option in action.option_strings}
    told = listed_under("Commands")[texts.USAGES[texts.ROLLUPDATE]]
    assert set(re.findall(r"--[a-z-]+", told)) == options - {"-h", "--help"}


def test_the_reference_has_what_a_section_of_all_programs_may_set() -> None:
    told = listed_under("Many programs")
    assert told == {f"parallel={PARALLEL.form} ({Configuration.of_all})": PARALLEL.text}


def test_the_commands_that_are_shown_can_be_given() -> None:
    text = "".join(page.read_text() for page in PAGES)
    shown = re.findall(r"(?:\$ |``)supervisorctl (roll\w+)([^`\n]*)", text)
    assert len(shown) > 5
    for command, given in shown:
        arguments.parser(command).parse_intermixed_args(given.split())


def test_the_reference_has_every_exit_status_with_what_it_means() -> None:
    statuses: dict[str, list[str]] = {}
    for status, commands, text in texts.STATUSES:
        who = "" if set(commands) == set(texts.USAGES) else f"{', '.join(commands)}: "
        statuses.setdefault(str(status), []).append(f"{who}{text}")
    assert listed_under("Exit statuses") == {
        status: " ".join(meanings) for status, meanings in statuses.items()
    }


def test_the_hooks_to_import_one_by_one_are_all_of_them() -> None:
    block = re.search(r"from supervisor_roll\.hooks import \(([^)]*)\)", INSTALL.read_text())
    assert sorted(block[1].replace(",", " ").split()) == sorted(_HOOKS)


def own_fields(kind: type[messages.Message]) -> set[str]:
    """What it says beside what each worker, or each that says a count, says."""
    shared = (messages.Describing, messages.FromWorker, messages.Counting)
    base = next((one for one in shared if issubclass(kind, one)), messages.Message)
    return kind.fields.keys() - base.fields.keys()


def test_the_protocol_tells_of_every_kind_of_message_and_its_own_fields() -> None:
    senders = {
        "arbiter": messages.FROM_ARBITERS,
        "worker": messages.FROM_WORKERS,
        "both": messages.FROM_BOTH,
        "listener": [messages.Ack],
    }
    told = table_under("Who may write", PROTOCOL)
    assert {
        kind: (who, {*re.findall(r"\w+", names.lower())}, " ".join(meaning.split()))
        for kind, (who, names, meaning) in told.items()
    } == {
        kind.kind: (who, own_fields(kind), str(kind.__doc__).replace("``", ""))
        for who, kinds in senders.items()
        for kind in kinds
    }


def test_the_protocol_tells_of_every_field_of_messages() -> None:
    told = ",".join(table_under("Who may write", PROTOCOL, 1))
    fields = {field.upper() for kind in messages.KINDS.values() for field in kind.fields}
    assert {*re.findall(r"\w+", told)} == fields


def test_the_protocol_tells_of_every_kind_of_report_and_its_facts() -> None:
    shapes: dict[str, type] = {
        **reports.KINDS,
        "plan.memory": reports.Memory,
        "plan.processes": reports.Processes,
        "plan.preflight": reports.Preflight,
    }
    told = table_under("RPC methods", PROTOCOL)
    assert {kind: [" ".join(cell.split()) for cell in cells] for kind, cells in told.items()} == {
        kind: [
            ", ".join(field.name for field in dataclasses.fields(shape)),
            str(shape.__doc__).split("\n")[0].replace("``", ""),
        ]
        for kind, shape in shapes.items()
    }


def test_the_reference_has_every_object_of_json_and_its_keys() -> None:
    told = {
        kind: {*re.findall(r"\w+", keys)}
        for kind, (keys, _) in table_under("JSON", REFERENCE).items()
    }
    status = wire.Status("complete", 1.0)
    found = wire.Overview({"web": status}, None, [wire.Job("1", wire.ROLLOUT, ["web"])])
    shown = [
        objects.requested(wire.ROLLOUT, wire.Receipt("1", ["web"])),
        objects.report(wire.Report("1", "web", "note")),
        objects.ended({"web": "complete"}, True),
        *objects.overview(found, None),
    ]
    assert {one["type"]: one.keys() - {"version", "type"} for one in shown} == told


def test_the_package_shows_the_readme() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    assert metadata["metadata"]["long_description"] == "file: README.rst"
    assert metadata["metadata"]["long_description_content_type"] == "text/x-rst"


def test_what_happens_in_each_fault_is_told_once() -> None:
    script = [sys.executable, ROOT / "scripts" / "_faults", "--list"]
    listed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    faults = {re.split(r" {2,}", line)[0] for line in listed.splitlines()}
    page = rendered(ROOT / "docs" / "failures.rst")
    named = [
        one.astext() for term in page.findall(nodes.term) for one in term.findall(nodes.literal)
    ]
    assert sorted(named) == sorted(faults)
