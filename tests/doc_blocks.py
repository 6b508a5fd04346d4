"""The code blocks of the documentation that name their language, for tests to run."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.core import publish_doctree

from tests.harness.command import unstamped

ROOT = Path(__file__).parents[1]
#: index.rst is Sphinx's own.
PAGES = [
    ROOT / "README.rst",
    *(one for one in sorted((ROOT / "docs").glob("*.rst")) if one.stem != "index"),
]
COMMAND = "$ supervisorctl rollrestart myapp\n"


class Block(NamedTuple):
    page: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text[:40]}"


def blocks(*languages: str) -> list[Block]:
    """Those of all pages in these languages, in their order. "" is none: output, and drawings."""
    return [one for one in _all() if one.language in languages]


@cache
def _all() -> list[Block]:
    return [
        Block(page.stem, " ".join(one for one in block["classes"] if one != "code"), block.astext())
        for page in PAGES
        for block in publish_doctree(page.read_text(), source_path=str(page)).findall(
            nodes.literal_block
        )
    ]


def block(page: str, begins: str) -> str:
    """The one of a page that begins so."""
    languages = ("sh", "console", "ini", "python", "docker")
    (found,) = [
        one.text for one in blocks(*languages) if one.page == page and one.text.startswith(begins)
    ]
    return found


def shown() -> list[list[str]]:
    """The lines that README shows after each of its ``rollrestart myapp``."""
    text = (ROOT / "README.rst").read_text()
    blocks = [block for block in text.split("\n\n") if block.lstrip().startswith(COMMAND)]
    return [masked(textwrap.dedent(block).removeprefix(COMMAND)) for block in blocks]


def masked(text: str) -> list[str]:
    return re.sub(r"\b\d{3,}\b|\d+(\.\d+)?(?= s\b)", "N", unstamped(text)).splitlines()
