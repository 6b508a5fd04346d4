"""The file of rollouts that have ended, and what may be wrong with it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from supervisor_roll.listener.edges import history_file
from supervisor_roll.listener.edges.history_file import Entry, HistoryFile, Unusable

ENTRY = Entry("web", '{"why": ""}', '{"reports": []}')
TEXT = b"this is no database, but a text that is long enough to be one" * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def file(path: Path) -> HistoryFile:
    return HistoryFile(str(path))


def test_what_is_added_is_there_for_another_with_a_number_of_its_own(
    file: HistoryFile, path: Path
) -> None:
    file.add([ENTRY, ENTRY._replace(program="api")])
    file.add([ENTRY])
    again = HistoryFile(str(path))
    assert [(id, program) for id, program, _ in again.all()] == [(3, "web"), (2, "api"), (1, "web")]
    assert again.one(2) == ENTRY._replace(program="api")
    assert again.one(4) is None


def test_it_is_its_owners_alone_even_if_it_was_made_otherwise(
    file: HistoryFile, path: Path
) -> None:
    path.touch(0o666)
    path.chmod(0o666)
    file.add([ENTRY])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    file.add([ENTRY])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_oldest_are_forgotten_and_recyclings_displace_no_rollout(
    file: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_file, "MOST_ROLLOUTS", 3)
    monkeypatch.setattr(history_file, "MOST_RECYCLINGS", 2)
    for _ in range(5):
        file.add([ENTRY, ENTRY._replace(recycling=True)])
    file.add([ENTRY._replace(recycling=True)] * 5)
    assert [id for id, _, _ in file.all()] == [15, 14, 9, 7, 5]


def test_the_size_is_bounded_by_what_all_have_together(
    file: HistoryFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_file, "MOST_CHARS", 1_000_000)
    large = ENTRY._replace(reports="x" * 100_000)
    for _ in range(30):
        file.add([large])
    assert [id for id, _, _ in file.all()] == list(range(30, 21, -1))
    assert path.stat().st_size < 1_300_000
    file.add([ENTRY._replace(reports="x" * (history_file.MOST_CHARS_OF_ONE + 1))])
    assert file.one(31) is None


@pytest.mark.parametrize("damage", ["text", "torn"])
def test_a_corrupt_file_is_put_aside_and_another_begun(
    file: HistoryFile, path: Path, damage: str
) -> None:
    file.add([ENTRY._replace(reports="x" * 50_000)] * 3)
    data = TEXT if damage == "text" else path.read_bytes()[:4096] + os.urandom(100_000)
    path.write_bytes(data)
    with pytest.raises(Unusable, match=r"it is .*\.corrupt now"):
        file.add([ENTRY])
    assert Path(f"{path}.corrupt").read_bytes() == data
    file.add([ENTRY])
    assert [id for id, _, _ in file.all()] == [1]


def test_one_that_was_only_half_made_is_finished(file: HistoryFile, path: Path) -> None:
    file.add([])
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 0")  # the listener was killed before that
        database.commit()
    file.add([ENTRY])
    assert len(file.all()) == 1


def test_a_mistake_of_ours_costs_nothing_that_was_kept(file: HistoryFile, path: Path) -> None:
    file.add([ENTRY])
    with pytest.raises(Unusable):
        file.add([ENTRY._replace(program=None)])  # type: ignore[arg-type]
    assert not Path(f"{path}.corrupt").exists()
    assert len(file.all()) == 1


def test_what_is_not_there_is_not_made_to_read_it(file: HistoryFile, path: Path) -> None:
    assert (file.all(), file.one(1)) == ([], None)
    assert not path.exists()


def test_a_lock_is_not_waited_for_and_loses_nothing(file: HistoryFile, path: Path) -> None:
    file.add([ENTRY])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unusable, match="locked"):
            file.add([ENTRY])
        other.execute("ROLLBACK")
    file.add([ENTRY])
    assert len(file.all()) == 2


def test_a_full_disk_is_unusable_and_what_was_kept_stays(file: HistoryFile, path: Path) -> None:
    file.add([ENTRY])
    size = path.stat().st_size
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(Unusable):
            file.add([ENTRY._replace(reports="x" * 100_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(file.all()) == 1


def test_a_link_or_a_folder_in_its_place_is_not_followed(
    file: HistoryFile, path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(TEXT)
    path.symlink_to(other)
    with pytest.raises(Unusable):
        file.add([ENTRY])
    assert other.read_bytes() == TEXT
    path.unlink()
    path.mkdir()
    with pytest.raises(Unusable):
        file.add([ENTRY])
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(Unusable, match="not a file of this user's"):
        file.add([ENTRY])


def test_one_of_a_later_release_is_left_alone(file: HistoryFile, path: Path) -> None:
    file.add([ENTRY])
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")
        database.commit()
    with pytest.raises(Unusable, match="another release"):
        file.add([ENTRY])
    assert not Path(f"{path}.corrupt").exists()
