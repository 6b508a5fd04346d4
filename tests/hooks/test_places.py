"""Where a worker is after its fork: it goes where ``chdir`` leads by then, and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from supervisor_roll.hooks import places
from supervisor_roll.wire.places import APP, CHDIR, CWD, Place


def server(chdir: Path) -> Any:
    settings = {"chdir": SimpleNamespace(default=str(chdir))}
    return SimpleNamespace(cfg=SimpleNamespace(chdir=str(chdir), settings=settings))


def link(current: Path, release: str) -> None:
    current.unlink(missing_ok=True)
    (current.parent / release).mkdir(exist_ok=True)
    current.symlink_to(release)


@pytest.fixture
def current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A link to a release that is the working directory, as Gunicorn has gone there."""
    link(tmp_path / "current", "r1")
    monkeypatch.chdir(tmp_path / "current")
    return tmp_path / "current"


def test_a_worker_follows_a_link_in_chdir(current: Path) -> None:
    started = places.of_arbiter(server(current))
    link(current, "r2")
    here = places.follow(server(current), started)
    assert (here.kind, here.text, here.real) == (CHDIR, str(current), f"{current.parent}/r2")
    assert Path.cwd() == current.parent / "r2"


def test_a_worker_has_somewhere_to_go_only_where_the_link_has_moved(current: Path) -> None:
    here = places.here(str(current))
    assert (here.kind, here.real) == (CHDIR, f"{current.parent}/r1")
    link(current, "r2")
    here = places.here(str(current))
    assert (here.kind, here.real) == (CWD, f"{current.parent}/r1")


def test_it_follows_again_after_a_reload(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = places.of_arbiter(server(current))
    link(current, "r2")
    monkeypatch.chdir(current)  # as Gunicorn goes there at HUP
    started = places.reloaded(server(current), started)
    link(current, "r3")
    assert places.follow(server(current), started).real == f"{current.parent}/r3"


def test_where_the_configuration_has_gone_elsewhere_a_worker_stays(
    current: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = places.of_arbiter(server(current))
    monkeypatch.chdir(tmp_path)
    link(current, "r2")
    here = places.follow(server(current), started)
    assert (here.kind, here.real) == (CWD, str(tmp_path))
    assert Path.cwd() == tmp_path


def test_a_folder_that_was_removed_is_no_error(current: Path) -> None:
    started = places.of_arbiter(server(current))
    current.unlink()
    (current.parent / "r1").rmdir()
    here = places.follow(server(current), started)
    assert (here.kind, here.real) == (CWD, f"{current.parent}/r1 (deleted)")


def test_an_application_is_where_the_link_led_when_the_worker_was_forked(
    current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(current))
    before = places.import_path()
    link(current, "r2")
    module = ModuleType("an_application")
    module.__file__ = f"{current}/an_application.py"
    monkeypatch.setitem(sys.modules, "an_application", module)
    worker = SimpleNamespace(app=SimpleNamespace(app_uri="an_application:app"))
    here = Place(CHDIR, "", "")
    _, app = places.of_worker(worker, here, before)
    assert app == Place(APP, module.__file__, f"{current.parent}/r1/an_application.py")
