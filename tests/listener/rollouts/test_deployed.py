"""Whether an arbiter's fresh workers would run what is deployed: links that lead elsewhere, folders
that were put in another's place, and what is no difference."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor_roll.listener.rollouts.deployed import elsewhere, strays
from supervisor_roll.wire import places
from supervisor_roll.wire.places import Place
from supervisor_roll.wire.program import Program


class Deploy:
    """Two releases with an environment each, ``current`` that leads to the first, and ``live``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current"
        for name in ("releases/r1", "releases/r2", "live", "next", "elsewhere"):
            (folder / name / "venv" / "bin").mkdir(parents=True)
            (folder / name / "app.py").write_text("")
            for script in ("gunicorn", "python"):
                (folder / name / "venv" / "bin" / script).write_text(script)
        self.link("r1")

    def link(self, release: str) -> None:
        new = self.folder / "new"
        new.symlink_to(self.folder / "releases" / release)
        new.replace(self.current)

    def program(
        self,
        directory: Path,
        venv: Path,
        file: Path | None = None,
        arguments: tuple[str, ...] = ("app:app",),
    ) -> Program:
        file = file or venv / "bin" / "gunicorn"
        return Program(str(file), [str(file), *arguments], str(directory), {}, 0o22)

    def began(self, directory: Path, venv: Path, *more: Place) -> list[Place]:
        """What an arbiter tells that begins now."""
        return [
            place(places.ROOT, Path("/")),
            # The resolution of a file's time is that of the kernel's tick.
            Place(places.BEGAN, "", str(time.time() + 0.01)),
            place(places.DIRECTORY, directory),
            place(places.COMMAND, venv / "bin" / "gunicorn"),
            place(places.PYTHON, venv / "bin" / "python"),
            place(places.ENVIRONMENT, venv),
            *more,
        ]


def place(kind: str, path: Path) -> Place:
    found = path.stat()
    return Place(kind, str(path), os.path.realpath(path), f"{found.st_dev}:{found.st_ino}")


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    return Deploy(tmp_path)


def _link(deploy: Deploy) -> None:
    deploy.link("r2")


def _link_back(deploy: Deploy) -> None:
    deploy.link("r2")
    deploy.link("r1")


def _swap(deploy: Deploy) -> None:
    (deploy.folder / "live").rename(deploy.folder / "old")
    (deploy.folder / "next").rename(deploy.folder / "live")


def _swap_environment(deploy: Deploy) -> None:
    (deploy.folder / "live" / "venv").rename(deploy.folder / "old")
    (deploy.folder / "next" / "venv").rename(deploy.folder / "live" / "venv")


def _reinstall(deploy: Deploy) -> None:
    for script in ("gunicorn", "python"):
        new = deploy.folder / "new"
        new.write_text("another")
        new.replace(deploy.folder / "live" / "venv" / "bin" / script)
    (deploy.folder / "live" / "app.py").write_text("another")


def _interpreter(deploy: Deploy) -> None:
    python = deploy.folder / "live" / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(deploy.folder / "next" / "venv" / "bin" / "python")


def _nothing(deploy: Deploy) -> None:
    pass


def _remove(deploy: Deploy) -> None:
    deploy.current.unlink()


@pytest.mark.parametrize(
    ("directory", "venv", "act", "said"),
    [
        ("current", "elsewhere/venv", _link, "directory={0}/current now leads to {0}/releases/r2"),
        ("current", "current/venv", _link, "directory={0}/current now leads to"),
        ("live", "current/venv", _link, "its command {0}/current/venv/bin/gunicorn now leads to"),
        ("releases/r1", "elsewhere/venv", _link, ""),
        ("current", "current/venv", _link_back, ""),
        ("current", "current/venv", _nothing, ""),
        ("live", "elsewhere/venv", _swap, "directory={0}/live is another folder now"),
        ("live", "live/venv", _swap, "directory={0}/live is another folder now"),
        ("live", "live/venv", _swap_environment, "its environment {0}/live/venv is another"),
        ("live", "live/venv", _reinstall, ""),
        ("live", "live/venv", _interpreter, "its interpreter {0}/live/venv/bin/python now leads"),
        # A successor could not begin there either: that is no reason for one.
        ("current", "elsewhere/venv", _remove, ""),
    ],
)
def test_another_place_of_a_program_is_seen(
    deploy: Deploy, directory: str, venv: str, act: Callable[[Deploy], None], said: str
) -> None:
    where, environment = deploy.folder / directory, deploy.folder / venv
    run, program = deploy.began(where, environment), deploy.program(where, environment)
    assert elsewhere(run, program) == ""
    act(deploy)
    found = elsewhere(run, program)
    assert found.startswith(said.format(deploy.folder)) if said else found == ""


def test_a_link_below_or_behind_another_is_followed(deploy: Deploy) -> None:
    (deploy.folder / "site").symlink_to(deploy.current)
    where = deploy.folder / "site" / "venv"
    run = deploy.began(where, deploy.folder / "elsewhere" / "venv")
    program = deploy.program(where, deploy.folder / "elsewhere" / "venv")
    assert elsewhere(run, program) == ""
    deploy.link("r2")
    assert f"now leads to {deploy.folder}/releases/r2/venv" in elsewhere(run, program)


def test_a_command_by_its_name_is_the_one_that_is_found_now(deploy: Deploy) -> None:
    where, venv = deploy.folder / "live", deploy.folder / "elsewhere" / "venv"
    script = place(places.COMMAND, venv / "bin" / "gunicorn")
    run = deploy.began(where, venv, replace(script, kind=places.FOUND, text="gunicorn"))
    found = replace(deploy.program(where, venv), arguments=["gunicorn", "app:app"])
    assert elsewhere(run, found) == ""
    found = replace(found, file=str(deploy.folder / "next" / "venv" / "bin" / "gunicorn"))
    assert elsewhere(run, found).startswith("its command gunicorn now leads to")


def test_of_a_wrapper_the_links_count_that_were_set_since(deploy: Deploy) -> None:
    venv = deploy.folder / "elsewhere" / "venv"
    (deploy.folder / "releases" / "r1" / "run.sh").write_text("")
    # It goes elsewhere by itself, which is no difference.
    run = deploy.began(deploy.folder / "live", venv)
    shell = deploy.program(
        deploy.folder, venv, Path("/bin/sh"), ("-c", f"exec {deploy.current}/run.sh")
    )
    plain = deploy.program(deploy.folder, venv, Path("/bin/sh"), ("run.sh",))
    assert elsewhere(run, shell) == elsewhere(run, plain) == ""
    time.sleep(0.05)
    deploy.link("r2")
    assert f"the link {deploy.current}" in elsewhere(run, shell)
    assert elsewhere(run, plain) == ""
    moved = replace(plain, directory=str(deploy.current))
    assert f"the link {deploy.current}" in elsewhere(run, moved)


def test_an_import_path_counts_where_the_arbiter_has_imported_from(deploy: Deploy) -> None:
    where, venv = deploy.folder / "live", deploy.folder / "elsewhere" / "venv"
    run = deploy.began(where, venv, place(places.PATH, deploy.current))
    deploy.link("r2")
    assert elsewhere(run, None).startswith(f"the import path {deploy.current} now leads to")


def test_what_cannot_be_compared_is_no_difference(deploy: Deploy) -> None:
    where = deploy.current
    run, program = deploy.began(where, where / "venv"), deploy.program(where, where / "venv")
    deploy.link("r2")
    assert elsewhere(run, program)
    assert elsewhere([Place(places.ROOT, "/", "/", "1:1"), *run[1:]], program) == ""
    assert elsewhere([], program) == ""
    nonsense = "nonsense\n\t\t\t\ndirectory\ta\0b\tc\td"
    assert elsewhere(places.decode(nonsense), program) == ""


def test_a_worker_that_the_link_left_behind_is_told(deploy: Deploy) -> None:
    run = deploy.began(deploy.folder / "live", deploy.folder / "elsewhere" / "venv")
    own = [place(places.CHDIR, deploy.current), place(places.APP, deploy.current / "app.py")]
    assert strays(run, own) == ""
    deploy.link("r2")
    released = f"{deploy.folder}/releases/r1"
    assert strays(run, own).startswith(f"it runs in {released}, and {deploy.current}")
    assert strays(run, own[1:]).startswith(f"it loaded {released}/app.py")
