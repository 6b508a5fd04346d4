"""Scripts that run real programs install all that they import, on a fresh machine too."""

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ("demo", "bench", "faults", "soak", "matrix")


def requirements(text: str) -> set[str]:
    return {re.split(r"[\[<>=~! ]", line, maxsplit=1)[0] for line in text.split("\n") if line}


def imported(files: list[Path]) -> set[str]:
    """What ``files`` import from neither the standard library nor the checkout."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    beside = {file.stem for file in files} | {file.parent.name for file in files}
    beside |= {"tests", "supervisor_roll"}
    return {name.partition(".")[0] for name in names} - beside - set(sys.stdlib_module_names)


def test_what_they_import_is_what_they_install() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    installed = requirements(config["options"]["install_requires"])
    installed |= requirements(config["options.extras_require"]["harness"])
    files = [*ROOT.glob("scripts/**/*.py"), *ROOT.glob("tests/harness/*.py")]
    files.remove(ROOT / "scripts/_bench/compare/plot.py")  # runs in an environment of its own
    assert {"psutil", "supervisor"} <= imported(files) <= installed


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_installs_the_harness(script: str) -> None:
    assert "--editable '.[harness]'" in (ROOT / "scripts" / script).read_text()
