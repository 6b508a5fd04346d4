"""The configuration as it is now: read again once a file of it has changed, and not before."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.configuration.supervisor_files import included_folders
from supervisor_roll.listener.configuration.watched import (
    BAD_SECS,
    LATELY_SECS,
    LastLook,
    WatchedConfiguration,
)

WEB = "[program:web]\ncommand=cat\n[roll:web]\nmax_surge=2\n"
BAD = "[program:web\n"


class Site:
    def __init__(self, folder: Path) -> None:
        self.main = folder / "supervisord.conf"
        self.main.write_text("[supervisord]\n[include]\nfiles=conf.d/*.conf\n")
        self.folder = folder / "conf.d"
        self.folder.mkdir()
        self.now = 1000.0
        self.read = WatchedConfiguration(str(self.main), lambda: self.now)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def is_bad(self) -> bool:
        try:
            self.read()
        except BadConfiguration:
            return True
        return False


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_it_is_read_again_when_a_file_has_changed_come_or_gone(site: Site) -> None:
    first = site.read()
    assert site.read() is first, "nothing has changed"
    assert not first.sections
    site.write("web.conf", WEB)
    second = site.read()
    assert second.settings["web"].max_surge.number == 2
    assert site.read() is second
    site.write("web.conf", WEB.replace("=2", "=many"))
    assert "web" in site.read().bad
    (site.folder / "web.conf").unlink()
    assert not site.read().sections
    site.main.write_text("[supervisord]\n" + WEB)
    assert site.read().settings["web"].max_surge.number == 2
    site.write("other.conf", BAD)
    assert not site.is_bad(), "it is no longer included"


def test_a_bad_one_is_good_as_soon_as_it_is_mended(site: Site) -> None:
    site.write("web.conf", WEB)
    site.read()
    site.write("web.conf", BAD)
    assert site.is_bad()
    site.write("web.conf", WEB)
    assert "web" in site.read().settings


def test_what_was_never_good_is_tried_again_after_a_while(site: Site) -> None:
    site.write("web.conf", BAD)
    assert site.is_bad()
    site.write("web.conf", WEB)  # of which nothing is known: the main file was never read
    site.now += BAD_SECS
    assert "web" in site.read().settings


def test_its_error_does_not_grow_with_each_who_asks(site: Site) -> None:
    site.write("web.conf", BAD)
    lengths = []
    for _ in range(3):
        with pytest.raises(BadConfiguration, match=r"web\.conf") as caught:
            site.read()
        lengths.append(len(caught.traceback))
    assert len(set(lengths)) == 1


def test_where_no_descriptor_is_left_it_stays_as_it_was(site: Site) -> None:
    site.write("web.conf", WEB)
    before = site.read()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.dup(0)
    os.close(first)
    site.write("web.conf", WEB.replace("=2", "=3"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, limits[1]))
    try:
        assert site.read() is before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert site.read().settings["web"].max_surge.number == 3


def test_the_folders_in_which_an_included_file_may_come(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "conf.d").mkdir(parents=True)
    (tmp_path / "a" / "link").symlink_to("conf.d")
    there = str(tmp_path)
    for pattern, folders in (
        ("x.conf", {"/"}),
        ("*.conf", {"/"}),
        ("missing/*.conf", {"/missing/"}),
        ("a/link/*.conf", {"/a/link/"}),
        ("*/conf.d/*.conf", {"/", "/a/", "/b/", "/a/conf.d/", "/b/conf.d/"}),
        ("[ab]/*/x.conf", {"/", "/a/", "/b/", "/a/conf.d/", "/b/conf.d/", "/a/link/"}),
    ):
        assert {*included_folders([f"{there}/{pattern}"])} == {there + one for one in folders}


def test_a_look_of_a_moment_ago_will_do_for_what_workers_say_unless_it_failed() -> None:
    now, looks, bad = 0.0, 0, False

    def look() -> Configuration:
        nonlocal looks
        looks += 1
        if bad:
            raise BadConfiguration("x", "bad")
        return Configuration("x", {}, {}, {}, ())

    last = LastLook(look, lambda: now)
    first = last.lately()
    assert last.lately() is first
    fresh = last()
    assert (last.lately() is fresh, looks) == (True, 2)
    now = LATELY_SECS
    assert last.lately() is not fresh
    bad = True
    for _ in range(2):
        with pytest.raises(BadConfiguration):
            last()
    with pytest.raises(BadConfiguration):
        last.lately()
    assert looks == 6
