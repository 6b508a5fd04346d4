"""Which modules count as the application's own, imported before a worker was forked."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from supervisor_roll.hooks.arbiter.stale_code import stale_modules
from tests.fakes.gunicorn import FakeArbiter


def imported(monkeypatch: pytest.MonkeyPatch, name: str, path: Path, text: str = "x = 1\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    module = ModuleType(name)
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, name, module)


def test_the_applications_package_and_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    imported(monkeypatch, "shop_beside", home / "shop_beside.py")
    imported(monkeypatch, "shop", home / "shop" / "__init__.py", text="")  # empty: nothing is stale
    imported(monkeypatch, "shop.views", elsewhere / "site-packages" / "shop" / "views.py")
    imported(monkeypatch, "library", home / "venv" / "site-packages" / "library.py")
    imported(monkeypatch, "other", elsewhere / "other.py")
    imported(monkeypatch, "__mp_main__", home / "venv" / "bin" / "gunicorn")
    imported(monkeypatch, "shop.gunicorn_conf", home / "shop" / "gunicorn_conf.py")
    server = SimpleNamespace(
        app=SimpleNamespace(app_uri="shop.wsgi:application"),
        cfg=SimpleNamespace(chdir=str(home), config="python:shop.gunicorn_conf"),
    )
    assert stale_modules(server) == ["shop.views", "shop_beside"]


def test_a_folder_that_is_a_link_is_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "v1")
    imported(monkeypatch, "shop_beside", tmp_path / "v1" / "shop_beside.py")
    server = SimpleNamespace(
        app=SimpleNamespace(app_uri="shop:app"),
        cfg=SimpleNamespace(chdir=str(tmp_path / "current"), config=None),
    )
    assert stale_modules(server) == ["shop_beside"]


class Looked(ModuleType):
    """A module that counts how often somebody looks where it is from."""

    looks = 0

    @property
    def __file__(self) -> str:
        Looked.looks += 1
        return "/elsewhere/looked.py"


def test_the_arbiter_looks_once_for_all_its_workers_until_it_has_other_modules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "looked", Looked("looked"))
    server = FakeArbiter(1)

    def looks_for(workers: int) -> int:
        earlier = Looked.looks
        for _ in range(workers):
            server.spawn_worker()
        return Looked.looks - earlier

    monkeypatch.setitem(sys.modules, "one_more", ModuleType("one_more"))
    assert looks_for(20) == 1
    assert looks_for(20) == 0
    server.configured = 3
    server.hup()
    assert looks_for(20) == 0  # it has looked at the new configuration for the first of them
