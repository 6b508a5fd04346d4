"""Each line of docs/security.rst names the tests that show it, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.rst"
LINES = [
    " ".join(line.astext().split())
    for line in publish_doctree(PAGE.read_text()).findall(nodes.list_item)
]


def test_there_are_lines() -> None:
    assert len(LINES) > 12


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:50])
def test_a_line_names_tests_that_exist(line: str) -> None:
    named = re.findall(r"(tests/[\w/]+\.py): (test_\w+)", line)
    assert named
    for path, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.MULTILINE), test
