"""What is at a path is told apart from what was there before, and seen to be still."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.file_watch import FileWatch, fingerprint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    one = tmp_path / "watched"
    one.write_text("one")
    return one


def same_times(path: Path, other: os.stat_result) -> None:
    os.utime(path, ns=(other.st_atime_ns, other.st_mtime_ns))


# Fingerprints


def test_it_stays_while_nothing_happens(path: Path) -> None:
    before = fingerprint(str(path))
    path.read_text()
    assert fingerprint(str(path)) == before != ""


def test_a_file_that_is_written_differs(path: Path) -> None:
    before = fingerprint(str(path))
    path.write_text("three")
    assert fingerprint(str(path)) != before


def test_a_file_that_is_touched_differs(path: Path) -> None:
    before, found = fingerprint(str(path)), path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert fingerprint(str(path)) != before


def test_another_file_of_the_same_size_and_time_differs(path: Path) -> None:
    before = fingerprint(str(path))
    other = path.with_name("other")
    other.write_text("two")
    same_times(other, path.stat())
    other.replace(path)
    assert path.read_text() == "two"
    assert fingerprint(str(path)) != before


def test_mode_and_owner_are_no_change(path: Path) -> None:
    before = fingerprint(str(path))
    path.chmod(0o600)
    assert fingerprint(str(path)) == before


def test_nothing_there_is_empty(path: Path) -> None:
    path.unlink()
    assert fingerprint(str(path)) == ""
    assert fingerprint(str(path / "below" / "that")) == ""
    path.symlink_to("nowhere")
    assert fingerprint(str(path)) == ""
    path.unlink()
    path.symlink_to(path)
    assert fingerprint(str(path)) == ""
    assert fingerprint("/a\0b") == ""


def test_a_folder_differs_when_an_entry_comes_or_goes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.utime(folder, (0, 0))
    before = fingerprint(str(folder))
    (folder / "entry").write_text("")
    assert fingerprint(str(folder)) != before


def releases(tmp_path: Path) -> tuple[Path, Path, Path]:
    one, two, current = (tmp_path / name for name in ("v1", "v2", "current"))
    one.mkdir()
    two.mkdir()
    current.symlink_to(one)
    return one, two, current


def flip(current: Path, to: Path) -> None:
    new = current.with_name("new")
    new.symlink_to(to)
    new.replace(current)


def test_a_link_that_leads_elsewhere_differs_and_is_the_same_when_put_back(tmp_path: Path) -> None:
    one, two, current = releases(tmp_path)
    before = fingerprint(str(current))
    flip(current, two)
    assert fingerprint(str(current)) not in (before, "")
    flip(current, one)
    assert fingerprint(str(current)) == before
    current.unlink()
    current.symlink_to(one)
    assert fingerprint(str(current)) == before


def test_what_a_release_writes_into_its_own_folder_is_no_release(tmp_path: Path) -> None:
    one, _, current = releases(tmp_path)
    before = fingerprint(str(current))
    (one / "__pycache__").mkdir()
    assert fingerprint(str(current)) == before


def test_a_link_to_a_folder_that_was_made_anew_differs(tmp_path: Path) -> None:
    one, two, current = releases(tmp_path)
    before = fingerprint(str(current))
    one.rename(tmp_path / "aside")
    two.rename(one)
    assert fingerprint(str(current)) != before


def test_a_link_to_a_file_differs_when_that_is_written(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    before = fingerprint(str(link))
    path.write_text("three")
    assert fingerprint(str(link)) != before


# Watch


def test_the_first_look_is_a_change_and_the_next_is_none(path: Path) -> None:
    watch = FileWatch()
    assert watch.look([str(path)], 0)
    assert watch.fingerprints == {str(path): fingerprint(str(path))}
    assert not watch.look([str(path)], 1)


def test_nothing_to_look_at_is_still_at_once() -> None:
    watch = FileWatch()
    assert not watch.look([], 5)
    assert watch.all_still(100, 5)


def test_each_path_is_still_by_itself(path: Path) -> None:
    other = path.with_name("other")
    watch, paths = FileWatch(), [str(path), str(other)]
    watch.look(paths, 0)
    other.write_text("new")
    assert watch.look(paths, 1)
    assert [watch.still(one, 2, 2.0) for one in paths] == [True, False]
    assert [watch.still(one, 2, 3.0) for one in paths] == [True, True]
    assert (watch.all_still(2, 2.9), watch.all_still(2, 3.0)) == (False, True)


def test_a_path_that_goes_counts_for_all_of_them_alone(path: Path) -> None:
    other = path.with_name("other")
    watch = FileWatch()
    watch.look([str(path), str(other)], 0)
    assert watch.look([str(path)], 5)
    assert watch.fingerprints.keys() == {str(path)}
    assert watch.still(str(path), 2, 5)
    assert not watch.all_still(2, 6)
    assert watch.all_still(2, 7)


def test_a_path_that_comes_is_not_still(path: Path) -> None:
    watch = FileWatch()
    watch.look([], 0)
    assert watch.look([str(path)], 5)
    assert not watch.still(str(path), 2, 6)
    assert not watch.all_still(2, 6)
    assert watch.still(str(path), 2, 7)
