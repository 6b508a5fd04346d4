"""What the documentation has its readers paste is what the programs that get it accept."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from gunicorn.config import Config as GunicornConfig
from supervisor.options import ServerOptions
from supervisor.supervisorctl import DefaultControllerPlugin

from supervisor_roll import __version__
from supervisor_roll.ctl import arguments
from supervisor_roll.ctl.plugin import RollPlugin
from supervisor_roll.installation import command as installing
from supervisor_roll.listener.configuration import sections
from tests.doc_blocks import PAGES, ROOT, Block, block, blocks

MAIN = """\
[supervisord]

[unix_http_server]
file=/run/supervisor.sock

[supervisorctl]
"""
#: Users of the examples that a machine need not have.
ABSENT = "frappe"


def test_what_is_to_be_pasted_names_its_language() -> None:
    """And so the tests below try it."""
    pages = {one.page for one in blocks("sh", "ini")}
    assert pages > {"README", "install", "configure", "coming-from", "frameworks"}
    pasted = re.compile(r"\[[\w:]+\]$|(sudo |\S*/)?(pip|apt-get|supervisor-roll) |from |import ")
    assert [one for one in blocks("") if pasted.match(one.text.splitlines()[0])] == []


@pytest.mark.parametrize("one", blocks("ini"), ids=str)
def test_a_configuration_is_accepted(one: Block, tmp_path: Path) -> None:
    text = re.sub(rf"^user={ABSENT}$", "user=root", one.text, flags=re.MULTILINE)
    for name in re.findall(r"^\[roll:(.+)\]", text, re.MULTILINE):
        if f"[program:{name}]" not in text:
            text += f"\n[program:{name}]\ncommand=gunicorn app:app\n"
    path = tmp_path / "supervisord.conf"
    path.write_text(text if "[supervisord]" in text else MAIN + text)
    options = ServerOptions()
    options.realize(["-n", "-c", str(path)])
    found = sections.read(str(path))
    assert not found.bad
    assert found.parallel >= 1
    for command in re.findall(r"^command=(.+)", text, re.MULTILINE):
        accepted(command)


@pytest.mark.parametrize("one", blocks("sh", "console"), ids=str)
def test_commands_are_accepted(one: Block) -> None:
    shell = re.sub(r"^\$ ", "", one.text, flags=re.MULTILINE)
    checked = subprocess.run(["sh", "-n"], input=shell, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    for line in without_documents(shell).splitlines():
        for command in re.split(r"&&|\|\|", line):
            accepted(command)


@pytest.mark.parametrize("one", blocks("python"), ids=str)
def test_python_compiles(one: Block) -> None:
    compile(one.text, one.page, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_in_its_text_exist(page: Path) -> None:
    for command in re.findall(r"``supervisorctl ([a-z]+)", page.read_text()):
        assert hasattr(RollPlugin, f"do_{command}") or hasattr(
            DefaultControllerPlugin, f"do_{command}"
        )


def test_the_line_of_the_hooks_and_the_hooks_by_name() -> None:
    both = [block("install", f"from supervisor_roll.hooks import {what}") for what in ("inst", "(")]
    installed: list[dict[str, object]] = [{}, {}]
    for text, into in zip(both, installed, strict=True):
        exec(text, into)
    line, by_name = ({key for key in into if hasattr(GunicornConfig(), key)} for into in installed)
    assert line == by_name
    assert len(line) == 11


def test_the_dockerfile() -> None:
    lines = [line.split(" ", 1) for line in block("install", "FROM").splitlines()]
    for keyword, given in lines:
        if keyword == "RUN":
            accepted(given)
        elif keyword == "CMD":
            accepted(shlex.join(json.loads(given)))
    assert [keyword for keyword, _ in lines] == ["FROM", "RUN", "COPY", "COPY", "RUN", "CMD"]


def test_the_packages_that_are_named_are_of_this_version() -> None:
    text = "".join(one.text for one in blocks("sh"))
    named = re.findall(r"supervisor[-_]roll[-_](\d[\d.]*\d)", text)
    assert set(named) == {__version__}


def without_documents(shell: str) -> str:
    return re.sub(r"<<'END'\n.*?\nEND$", "", shell, flags=re.DOTALL | re.MULTILINE)


def accepted(command: str) -> None:
    """Have the parser of the program that gets a command take it, where it is one of these."""
    program, *given = shlex.split(command, comments=True) or [""]
    name = Path(program).name
    if name == "supervisor-roll":
        installing._parser().parse_args(given)
    elif name == "supervisorctl" and given[0].startswith("roll"):
        arguments.parser(given[0]).parse_intermixed_args(given[1:])
    elif name == "supervisorctl":
        assert hasattr(DefaultControllerPlugin, f"do_{given[0]}"), command
    elif program.startswith("scripts/"):
        assert (ROOT / program).is_file(), command
    elif name == "gunicorn":
        assert GunicornConfig().parser().parse_args(given).args, command
    else:
        assert name in {
            "",
            "ansible-galaxy",
            "ansible-playbook",
            "apt-get",
            "bench",
            "cat",
            "cd",
            "echo",
            "exit",
            "kill",
            "ln",
            "mkdir",
            "pip",
            "python",
            "python3",
            "service",
            "touch",
            "supervisord",
            "exec",
        }, command
