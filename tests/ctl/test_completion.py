"""What Tab completes in supervisorctl's shell, through the interface that readline asks."""

from __future__ import annotations

from contextlib import closing

import pytest
from supervisor.options import ClientOptions
from supervisor.supervisorctl import Controller

from supervisor_roll.ctl import COMMANDS
from tests.rpc.supervised import Supervised
from tests.terminal import Terminal


@pytest.fixture
def controller(site: Supervised) -> Controller:
    options = ClientOptions()
    options.realize(["-c", str(site.config), "status"], doc="")
    return Controller(options)


def test_the_shell_completes_the_names_of_programs(controller: Controller) -> None:
    assert controller.complete("my", 0, "rollrestart my") == "myapp "
    assert controller.complete("web:", 1, "rollabort web:") == "web:* "
    assert controller.complete("my", 1, "rollstatus my") is None
    assert controller.complete("rollr", 0, "rollr") == "rollready "
    assert controller.complete("rollr", 1, "rollr") == "rollrecycle "
    assert controller.complete("rollr", 2, "rollr") == "rollrestart "
    assert controller.complete("my", 0, "rollupdate my") == "myapp "
    assert controller.complete("rollu", 0, "help rollu") == "rollupdate "
    assert controller.complete("my", 0, "start my") == "myapp "


def completed(controller: Controller, line: str) -> list[str]:
    """All that the last word of ``line``, which stands after a blank or "=", is completed to."""
    text = line.replace("=", " ").rpartition(" ")[2]
    found: list[str] = []
    while (one := controller.complete(text, len(found), line)) is not None:
        found.append(one)
    return found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("rollrestart --m", ["--max-surge ", "--max-unavailable ", "--min-ready "]),
        ("rollrestart myapp --no-w", ["--no-wait "]),
        ("rollrestart --strategy ", ["workers ", "arbiter ", "auto "]),
        ("rollrestart --strategy=a", ["arbiter ", "auto "]),
        ("rollrestart --max-surge ", []),  # not names: it takes a number
        ("rollrestart --max-surge 1 --max-s", []),  # it is there already
        ("rollrestart --strategy workers my", ["myapp "]),
        ("rollupdate --dry", []),
        ("rollhistory --j", ["--json "]),
        ("rollabort -", ["--help ", "-h "]),
        ("status -", []),
    ],
)
def test_options_and_their_values_are_completed(
    controller: Controller, line: str, found: list[str]
) -> None:
    assert completed(controller, line) == found


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_takes_each_name(controller: Controller, command: str) -> None:
    names = completed(controller, f"{command} ")
    assert names == completed(controller, "restart ")
    assert {"myapp ", "web:* ", "web:one "} <= set(names)


def test_tab_completes_a_whole_line_on_a_terminal(site: Supervised) -> None:
    with closing(Terminal(site.ctl_command(), TERM="dumb")) as shell:
        shell.wait_shows("supervisor>")
        for typed, shown in (
            ("rollst\t", "supervisor> rollstatus"),
            ("--fo\t", "supervisor> rollstatus --follow"),
            ("my\t", "supervisor> rollstatus --follow myapp"),
        ):
            shell.type(typed)
            shell.wait_shows(shown)
        shell.type("\nquit\n")
        assert shell.wait_ends() == 0
        assert any(line.startswith("myapp: ") for line in shell.lines)
