"""A program is Gunicorn by what it executes, whatever words its arguments have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_roll.hooks.shared_memory import mark
from supervisor_roll.listener.edges.executed import Executed, is_marked

PYTHON = "/usr/bin/python3.11"
SCRIPT = "import sys, time; print(flush=True); time.sleep(600)\n"


@pytest.mark.parametrize(
    ("executable", "arguments"),
    [
        (PYTHON, ["/srv/venv/bin/python", "/srv/venv/bin/gunicorn", "app:app"]),
        (PYTHON, ["python3", "-m", "gunicorn", "app:app"]),
        (PYTHON, ["python3", "-mgunicorn.app.wsgiapp", "app:app"]),
        (PYTHON, ["python", "-W", "ignore", "-X", "dev", "-uIm", "gunicorn", "app"]),
        (PYTHON, ["python", "-Xfrozen_modules=off", "-u", "/usr/bin/gunicorn3", "app"]),
        ("/opt/pypy/bin/pypy3.10", ["pypy3", "/x/gunicorn-23.0", "app"]),
        (PYTHON, ["gunicorn: master [app:app]"]),
        (PYTHON, ["gunicorn: worker [app:app]"]),
        (PYTHON, ["python3", "/nix/store/x/bin/.gunicorn-wrapped", "app"]),
        ("/opt/frozen/gunicorn", ["/opt/frozen/gunicorn", "app"]),
        ("", ["/srv/venv/bin/python3", "/srv/venv/bin/gunicorn", "app"]),
    ],
)
def test_gunicorn(executable: str, arguments: list[str]) -> None:
    assert Executed(executable, arguments).is_gunicorn


@pytest.mark.parametrize(
    ("executable", "arguments"),
    [
        ("/usr/bin/tail", ["tail", "-F", "/var/log/gunicorn.log"]),
        ("/usr/bin/tail", ["tail", "-F", "/var/log/gunicorn"]),
        ("/usr/bin/dash", ["sh", "-c", "tail -F /var/log/gunicorn.log"]),
        ("/usr/bin/dash", ["sh", "-c", "gunicorn app; true"]),
        ("/usr/bin/vim.basic", ["vim", "gunicorn.conf.py"]),
        ("/usr/bin/vim.basic", ["vim", "gunicorn: notes"]),
        (PYTHON, ["python3", "/srv/gunicorn-site/worker.py"]),
        (PYTHON, ["python3", "/srv/gunicorn/worker.py"]),
        (PYTHON, ["python3", "worker.py", "gunicorn"]),
        (PYTHON, ["python3", "-m", "worker", "-m", "gunicorn"]),
        (PYTHON, ["python3", "-m", "gunicorn_exporter"]),
        (PYTHON, ["python3", "-c", "import gunicorn", "gunicorn"]),
        (PYTHON, ["python3", "-Xgunicorn", "-m", "worker"]),
        (PYTHON, ["python3", "-"]),
        (PYTHON, ["python3"]),
        ("", []),
    ],
)
def test_no_gunicorn(executable: str, arguments: list[str]) -> None:
    assert not Executed(executable, arguments).is_gunicorn


def test_of_one_that_has_set_its_title_the_environment_cannot_be_told(tmp_path: Path) -> None:
    """setproctitle writes over it."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"gunicorn: master [app]\0\0\0\0")
    (tmp_path / "7" / "environ").write_bytes(b"app]\0\0\0\0")
    found = Executed.of(7, tmp_path)
    assert found.is_gunicorn and found.environment is None


def test_of_a_process_that_shows_without_end_a_bounded_part_is_read(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    for name in ("cmdline", "environ", "maps"):
        (tmp_path / "7" / name).symlink_to("/dev/zero")
    found = Executed.of(7, tmp_path)
    assert found.environment is None
    assert found.shares_memory
    assert is_marked(7, tmp_path) is None
    assert found.shown == "gone"
    (tmp_path / "7" / "cmdline").unlink()
    (tmp_path / "7" / "cmdline").write_bytes(b"python3\0/x/bin/gunicorn\0" + b"x" * 1_000_000)
    found = Executed.of(7, tmp_path)
    assert found.is_gunicorn
    assert sum(map(len, found.arguments)) < 100_000


def test_a_program_that_only_names_gunicorn_is_told_from_one_that_may_execute_it() -> None:
    assert Executed("/bin/sh", ["sh", "-c", "migrate; exec /x/bin/gunicorn app"]).names_gunicorn
    assert not Executed("/bin/sh", ["sh", "-c", "tail -F /var/log/gunicorn.log"]).names_gunicorn


@pytest.mark.parametrize("name", ["gunicorn", "worker.py"])
def test_a_real_process(tmp_path: Path, name: str) -> None:
    script = tmp_path / name
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), "app"], env={"MARK": "a=b"}, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        found = Executed.of(process.pid)
        process.kill()
    assert found.is_gunicorn == (name == "gunicorn")
    assert found.environment is not None and found.environment["MARK"] == "a=b"
    assert Path(found.executable).samefile(sys.executable)
    assert 0 <= found.age_secs < 600
    assert not found.shares_memory


def test_a_worker_is_told_from_other_children_of_its_arbiter_by_its_mark() -> None:
    assert is_marked(os.getpid()) is False
    kept = mark()
    assert is_marked(os.getpid()) is True
    kept.close()
    assert is_marked(os.getpid()) is False
    assert is_marked(2**22 + 1) is None


def test_an_unmarked_child_that_executes_something_else_is_no_worker() -> None:
    arbiter = Executed("/x/python", ["/x/python", "/x/gunicorn", "app"])
    assert Executed("/x/python", ["/x/python", "/x/gunicorn", "app"]).may_be_worker_of(arbiter)
    assert Executed("", ["gunicorn: worker [app]"]).may_be_worker_of(arbiter)
    assert not Executed("", ["gunicorn: dirty-arbiter"]).may_be_worker_of(arbiter)
    assert not Executed("/bin/tail", ["tail", "-F", "x"]).may_be_worker_of(arbiter)
    assert not Executed("", []).may_be_worker_of(arbiter)
