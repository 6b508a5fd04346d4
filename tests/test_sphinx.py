"""The documentation is built as HTML without a warning, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_it_is_built(tmp_path: Path) -> None:
    html, trees = tmp_path / "html", tmp_path / "doctrees"
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    built = subprocess.run(
        [*command, "-b", "html", "-d", trees, ROOT / "docs", html], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    written = {page.stem for page in html.glob("*.html")}
    assert written > {page.stem for page in (ROOT / "docs").glob("*.rst")}
    lost = []
    for page in html.glob("*.html"):
        for link in re.findall(r'href="(?![a-z]+:)([^"#]+)', page.read_text()):
            if not (html / link.partition("?")[0]).exists():
                lost.append((page.name, link))
    assert lost == []
