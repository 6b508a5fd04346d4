"""A preflight loads the application as a worker would, and ends before it opens a socket."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_roll.listener.rollouts.preflight_output import explained
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.successor import PREFLIGHT_SOCKET, PREFLIGHT_VARIABLE, SUCCESSOR_VARIABLE
from tests.harness.folders import new_folder
from tests.harness.venvs import gunicorn_venv
from tests.hooks.fake_listener import VERSIONS

ROOT = Path(__file__).parents[3]
PLAIN = [sys.executable, "-m", "gunicorn"]
GOOD = "def app(environ, start_response):\n    return []\n"
THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
CONF = (
    "pidfile = 'pid'\nbind = 'unix:sock'\n"
    "def on_starting(server): open('started', 'w')\n"
    "from supervisor_roll.hooks import install; install(globals())\n"
)
EMBEDDED = """
import app
from gunicorn.app.base import BaseApplication
from supervisor_roll import hooks

class Embedded(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "unix:sock")
        self.cfg.set("on_starting", hooks.on_starting)
    def load(self):
        return app.app

Embedded().run()
"""
# Where it stands, who it is, and what it was told, as JSON.
SAYS = GOOD + (
    "import json, os\n"
    "print(json.dumps([os.getcwd(), os.getresuid(), os.getresgid(), os.getgroups(),"
    " sorted(set(os.environ) & {'GUNICORN_PID', 'SUPERVISOR_ROLL_SUCCESSOR_OF'}),"
    " os.environ.get('FLAVOUR')]))\n"
)


def preflight(
    folder: Path, source: str, *command: str, conf: str = CONF, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Load ``source`` as supervisord starts a preflight; the end of one, and all of its output."""
    (folder / "app.py").write_text(source)
    (folder / "embedded.py").write_text(EMBEDDED)
    (folder / "gunicorn.conf.py").write_text(conf)
    return subprocess.run(
        command or [*PLAIN, "app:app"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            SOCKET_VARIABLE: PREFLIGHT_SOCKET,
            PREFLIGHT_VARIABLE: "1",
            SUCCESSOR_VARIABLE: str(os.getpid()),
            "GUNICORN_PID": str(os.getpid()),
            "PYTHONFAULTHANDLER": "1",
            **variables,
        },
    )


def why(done: subprocess.CompletedProcess[str]) -> str:
    code = done.returncode
    return explained(done.stdout, code if code >= 0 else 128 - code, None)


def assert_nothing_is_left(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert "Listening at" not in done.stdout
    names = {one.name for one in folder.iterdir()}
    assert not names & {"sock", "started", "pid", "pid.2"}


@pytest.mark.parametrize(
    "command",
    [
        [*PLAIN, "-c", "python:supervisor_roll.hooks", "-b", "unix:sock", "app:app"],
        [*PLAIN, "app:app"],
        [*PLAIN, "--preload", "app:app"],
        [sys.executable, "embedded.py"],
    ],
)
@pytest.mark.parametrize(
    ("source", "status", "says"),
    [
        (GOOD, 0, ""),
        ("import nosuch", 1, "ModuleNotFoundError: No module named 'nosuch'"),
        ("import sys; sys.exit(3)", 3, ""),
        (GOOD + THREAD, 0, ""),
    ],
)
def test_it_loads_the_application_and_ends(
    tmp_path: Path, command: list[str], source: str, status: int, says: str
) -> None:
    done = preflight(tmp_path, source, *command)
    assert done.returncode == status
    assert says in done.stdout
    assert_nothing_is_left(tmp_path, done)


@pytest.mark.processes
@pytest.mark.parametrize("version", VERSIONS)
def test_so_it_is_with_every_gunicorn(tmp_path: Path, version: str) -> None:
    gunicorn = str(gunicorn_venv(version))
    done = preflight(tmp_path, GOOD, gunicorn, "app:app")
    assert (done.returncode, why(done)) == (0, "")
    assert_nothing_is_left(tmp_path, done)
    done = preflight(tmp_path, "import nosuch\n", gunicorn, "app:app")
    assert why(done).startswith("ModuleNotFoundError: No module named 'nosuch'\n")
    assert_nothing_is_left(tmp_path, done)
    # Without our hooks it ends as well, before it opens a socket.
    done = preflight(tmp_path, GOOD, gunicorn, "app:app", conf="bind = 'unix:sock'\n")
    assert why(done) == "its Gunicorn does not run the hook on_starting of supervisor_roll"
    assert_nothing_is_left(tmp_path, done)


@pytest.mark.parametrize(
    ("source", "first", "within"),
    [
        ("import nosuch", "ModuleNotFoundError: No module named 'nosuch'", 'app.py", line 1'),
        ("def x(:", "SyntaxError: invalid syntax", 'app.py", line 1'),
        ("raise ValueError('first\\n  second\\nthird')", "ValueError: first", "third"),
        (
            "import sys; sys.exit(5)",
            "it left with status 5 while it loaded the application (sys.exit?)",
            "",
        ),
        ("import sys; sys.exit()", "SystemExit", 'app.py", line 1'),
        (
            "import sys; sys.exit('no DATABASE_URL')",
            "it left with status 1 while it loaded the application (sys.exit?)",
            "no DATABASE_URL",
        ),
        ("import os; os.kill(os.getpid(), 9)", "it was killed: out of memory?", ""),
        (
            "import os; os.kill(os.getpid(), 11)",
            "it died of SIGSEGV; it stood here (most recent call first):",
            'app.py", line 1',
        ),
        (
            "other = 1",
            "gunicorn.errors.AppImportError: Failed to find attribute 'app' in 'app'.",
            "",
        ),
    ],
)
def test_a_bad_one_says_why(tmp_path: Path, source: str, first: str, within: str) -> None:
    text = why(preflight(tmp_path, source))
    lines = text.splitlines()
    assert lines[0] == first
    assert within in text
    assert len(lines) <= 13


@pytest.mark.parametrize(
    ("conf", "first"),
    [
        ("workers = -1", "Error: Value must be positive: -1"),
        ("import nosuch", "ModuleNotFoundError: No module named 'nosuch'"),
    ],
)
def test_a_bad_configuration_says_why(tmp_path: Path, conf: str, first: str) -> None:
    assert why(preflight(tmp_path, GOOD, conf=conf)).splitlines()[0] == first


def test_it_finds_what_gunicorns_pythonpath_has(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "inlib.py").write_text(GOOD)
    done = preflight(tmp_path, GOOD, *PLAIN, "--pythonpath", "lib", "inlib:app")
    assert why(done) == ""


def test_the_application_finds_what_gunicorn_gives_its_workers(tmp_path: Path) -> None:
    """And does not see that this one began beside another."""
    (tmp_path / "there").mkdir()
    more = "raw_env = ['FLAVOUR=mint']\nchdir = 'there'\n"
    done = preflight(
        tmp_path, SAYS, *PLAIN, "--pythonpath", str(tmp_path), "app:app", conf=CONF + more
    )
    cwd, _, _, _, variables, flavour = json.loads(done.stdout.splitlines()[-1])
    assert (cwd, variables, flavour) == (str(tmp_path / "there"), [], "mint")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that any user may read, which pytest's own is not."""
    path = new_folder("roll-", "/tmp")
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.getuid() != 0, reason="takes root")
def test_it_loads_as_the_user_of_the_workers(open_folder: Path) -> None:
    """Code that they load must not be loaded with more rights beforehand."""
    nobody = pwd.getpwnam("nobody")
    user = f"user = 'nobody'\ngroup = {nobody.pw_gid}\n"
    done = preflight(open_folder, SAYS, conf=user + CONF, PYTHONDONTWRITEBYTECODE="1")
    if "PermissionError" in done.stdout or "No module named" in done.stdout:
        pytest.skip("nobody may not read where Python or this checkout is")
    _, uids, gids, _, _, _ = json.loads(done.stdout.splitlines()[-1])
    assert uids == [nobody.pw_uid] * 3
    assert gids == [nobody.pw_gid] * 3
    assert_nothing_is_left(open_folder, done)
