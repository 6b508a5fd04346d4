"""What ``release=`` says."""

from __future__ import annotations

from pathlib import Path

from supervisor_roll.listener.releases import last_line, release_at


def test_a_link_says_its_targets_name_and_a_file_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "v7")
    (tmp_path / "REVISION").write_text("  abc123 \nmore\n")
    assert release_at(str(tmp_path / "current")) == "v7"
    assert release_at(str(tmp_path / "REVISION")) == "abc123"


def test_anything_else_is_a_command(tmp_path: Path) -> None:
    assert release_at("git rev-parse HEAD") is None
    assert release_at(str(tmp_path)) is None
    assert last_line("fetching\n\nabc123\n\n") == "abc123"
    assert last_line("\n") == "?"
