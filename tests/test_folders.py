"""What a failed test leaves behind."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.harness import folders


def test_a_copy_of_what_can_be_copied_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "FAILED", tmp_path)
    monkeypatch.setattr(folders, "_made", [])
    removed, folder = folders.new_folder(), folders.new_folder()
    shutil.rmtree(removed)
    (folder / "logs").mkdir()
    (folder / "logs" / "web.log").write_text("why")
    (folder / "gone").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(folder / "socket"))
        kept = folders.keep("tests/e2e/test_a.py::test_b[1/2]")
    shutil.rmtree(folder)
    assert kept == [tmp_path / "e2e-test_a-py-test_b-1-2" / "0"]
    assert sorted(path.name for path in kept[0].rglob("*")) == ["gone", "logs", "web.log"]
    assert (kept[0] / "logs" / "web.log").read_text() == "why"


def test_temporary_folders_leave_a_unix_socket_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "CACHE", Path("/srv") / ("long" * 20))
    assert folders.temporary_root() == Path("/tmp")
